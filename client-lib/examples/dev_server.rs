//! A server for development that knows the `listenfd` crate alone: the way many Rust servers are written today.
//!
//! It shows that such a server runs behind sockmgr unchanged. By hand: `cargo run --example dev_server`, then
//! `curl http://127.0.0.1:3000`; with sockets kept over rebuilds: `sockmgr dev` or `systemfd`.

use std::process;

use axum::Router;
use axum::routing::get;
use listenfd::ListenFd;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = match ListenFd::from_env().take_tcp_listener(0)? {
        Some(inherited) => {
            inherited.set_nonblocking(true)?;
            TcpListener::from_std(inherited)?
        }
        None => TcpListener::bind("127.0.0.1:3000").await?,
    };
    eprintln!("dev_server: listening on http://{}", listener.local_addr()?);
    let routes = Router::new().route("/", get(hello));
    let stop = async move {
        terminate.recv().await;
    };
    axum::serve(listener, routes).with_graceful_shutdown(stop).await?;
    Ok(())
}

/// `GET /`: who answers.
async fn hello() -> String {
    format!("hello from pid {}\n", process::id())
}
