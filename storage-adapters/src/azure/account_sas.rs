//! A shared access signature made from the account's key, which itself is never sent. No I/O.
//!
//! As <https://learn.microsoft.com/rest/api/storageservices/create-account-sas> says.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use url::form_urlencoded;

/// Version of the rules by which the text to sign is put together.
const VERSION: &str = "2024-11-04";

/// Blobs and queues.
const SERVICES: &str = "bq";

/// The services themselves, containers and queues, blobs and messages.
const RESOURCE_TYPES: &str = "sco";

/// Read, write, delete, list, add, create, update, process: what the two ports do, and nothing else.
const PERMISSIONS: &str = "rwdlacup";

/// The query that makes requests to `account` legitimate until `expires`.
pub(super) fn sign(account: &str, key: &[u8], may_be_plain_http: bool, expires: Timestamp) -> Option<String> {
    let protocols = if may_be_plain_http { "https,http" } else { "https" };
    let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    // No beginning, so that a clock ahead of the service's does no harm; no range of addresses; no scope of encryption.
    let to_sign =
        [account, PERMISSIONS, SERVICES, RESOURCE_TYPES, "", &expires, "", protocols, VERSION, "", ""].join("\n");
    let mut code = Hmac::<Sha256>::new_from_slice(key).ok()?;
    code.update(to_sign.as_bytes());
    let signature = STANDARD.encode(code.finalize().into_bytes());
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("sv", VERSION).append_pair("ss", SERVICES).append_pair("srt", RESOURCE_TYPES);
    query.append_pair("sp", PERMISSIONS).append_pair("se", &expires).append_pair("spr", protocols);
    Some(query.append_pair("sig", &signature).finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_another_program_computes() {
        let expires = "2026-01-02T03:04:05Z".parse().expect("a time");
        let made = sign("cornershop", b"the account's key", false, expires).expect("a signature");
        let expected = "sv=2024-11-04&ss=bq&srt=sco&sp=rwdlacup&se=2026-01-02T03%3A04%3A05Z&spr=https&sig=W9wmYQVRyCcbZbZfvPX1h8ynmOJ6IawJVpPEduEpE9U%3D";
        assert_eq!(made, expected);
    }
}
