//! Where the load goes: parses the target and refuses addresses that are not private. Looks up names, else no I/O.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `host[:port]` as it was given, for the `Host` header.
    pub authority: String,
    /// The addresses behind it.
    pub addresses: Vec<SocketAddr>,
}

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not of the form `http://HOST[:PORT]`.
    #[error("the target {0:?} is not of the form http://HOST[:PORT]; give the shop's address without a path")]
    Form(String),
    /// The name has no address.
    #[error("the name {authority:?} was not found; check the target")]
    Lookup {
        /// What was looked up.
        authority: String,
        /// What the resolver said.
        source: std::io::Error,
    },
    /// It is on a public network.
    #[error("{0} is a public address; give --public-target only when the shop there is yours and expects this load")]
    Public(IpAddr),
}

impl Target {
    /// Parses `http://HOST[:PORT]` and looks its addresses up.
    ///
    /// # Errors
    /// When it has another form, its name is not found, or it is public and `public` does not say that this is meant.
    pub async fn resolve(url: &str, public: bool) -> Result<Self, TargetError> {
        let authority = authority(url).ok_or_else(|| TargetError::Form(url.to_owned()))?;
        let named = if has_port(authority) { authority.to_owned() } else { format!("{authority}:80") };
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&named)
            .await
            .map_err(|source| TargetError::Lookup { authority: authority.to_owned(), source })?
            .collect();
        if let Some(address) = addresses.iter().find(|address| !public && !is_private(address.ip())) {
            return Err(TargetError::Public(address.ip()));
        }
        Ok(Self { authority: authority.to_owned(), addresses })
    }
}

fn authority(url: &str) -> Option<&str> {
    let authority = url.strip_prefix("http://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let plain = !authority.is_empty() && !authority.contains(['/', '?', '#', '@']);
    plain.then_some(authority)
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Loopback, private (RFC 1918, RFC 4193), link-local, shared (RFC 6598) and benchmarking (RFC 2544) addresses.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_private_v4(mapped),
            None => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
        },
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || (first == 100 && (64..128).contains(&second))
        || (first == 198 && (18..20).contains(&second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_local_target_is_taken_with_its_port() {
        let target = Target::resolve("http://127.0.0.1:8080/", false).await.expect("taken");
        assert_eq!(target.authority, "127.0.0.1:8080");
        assert_eq!(target.addresses, ["127.0.0.1:8080".parse().expect("an address")]);
    }

    #[tokio::test]
    async fn a_target_without_a_port_means_port_80() {
        let target = Target::resolve("http://198.19.0.7", false).await.expect("taken");
        assert_eq!(target.addresses[0].port(), 80);
    }

    #[tokio::test]
    async fn a_public_target_is_refused_unless_it_is_meant() {
        for public in ["http://8.8.8.8", "http://198.20.0.1", "http://100.128.0.1", "http://[2606:4700::1]"] {
            assert!(matches!(Target::resolve(public, false).await, Err(TargetError::Public(_))), "{public}");
            assert!(Target::resolve(public, true).await.is_ok(), "{public}");
        }
    }

    #[tokio::test]
    async fn other_forms_are_refused_with_the_right_one() {
        for wrong in ["https://127.0.0.1", "127.0.0.1:80", "http://", "http://127.0.0.1/api", "http://me@127.0.0.1"] {
            assert!(matches!(Target::resolve(wrong, true).await, Err(TargetError::Form(_))), "{wrong}");
        }
    }
}
