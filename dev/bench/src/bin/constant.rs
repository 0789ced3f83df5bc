//! The yardstick of `make bench`: a bare axum server that answers every request with a constant body. Does network I/O.
//!
//! `constant BYTES` serves a JSON string of `BYTES` bytes on a free port of the loopback address, which it prints, on one thread.

use std::{
    env,
    error::Error,
    io::{Write, stdout},
    net::Ipv4Addr,
};

use axum::{Router, body::Bytes, http::header::CONTENT_TYPE, routing::get};
use tokio::{net::TcpListener, runtime};

fn main() -> Result<(), Box<dyn Error>> {
    let bytes = env::args().nth(1).ok_or("usage: constant BYTES")?;
    let filling = bytes.parse::<usize>()?.saturating_sub(2);
    let body = Bytes::from(format!("\"{}\"", "x".repeat(filling)));
    let answer = move || {
        let body = body.clone();
        async move { ([(CONTENT_TYPE, "application/json")], body) }
    };
    let router = Router::new().fallback(get(answer));
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        writeln!(stdout(), "http://{}", listener.local_addr()?)?;
        axum::serve(listener, router).await
    })?;
    Ok(())
}
