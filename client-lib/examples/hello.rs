//! An HTTP server that says hello, and who it is: axum on every TCP and unix listener that it was given.
//!
//! By hand: `cargo run --example hello`, then `curl http://127.0.0.1:3000`. Behind sockmgr: `units/web`.
//! One thread per process: with N instances on N listeners the processes are the threads.
//! Invariant: READY=1 is told after the sockets are adopted, STOPPING=1 before the last request is answered.

use std::error::Error;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::serve::Listener;
use sockmgr_client::{Inherited, Instance, Kind, Notifier};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a stop waits for clients that are connected but ask for nothing.
const SILENCE: Duration = Duration::from_secs(2);

/// What the routes share.
struct Server {
    instance: Instance,
    /// Requests so far.
    requests: AtomicU64,
    /// Requests that are being answered.
    in_flight: AtomicU32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Before READY=1, so that no signal finds the default action.
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let notifier = Notifier::from_env()?;
    let server = Arc::new(Server {
        instance: Instance::from_env()?,
        requests: AtomicU64::new(0),
        in_flight: AtomicU32::new(0),
    });
    let (stop, stopped) = watch::channel(false);
    let mut listeners = serve_all(&Inherited::from_env()?, &routes(&server), &stopped)?;
    notifier.ready()?;

    until_signal(signals).await;
    notifier.stopping()?;
    stop.send(true)?;
    tokio::select! {
        () = finish(&mut listeners) => {}
        () = server.silence() => {}
    }
    Ok(())
}

/// Serves every listener that was passed, or one of our own when there is none.
fn serve_all(
    inherited: &Inherited,
    routes: &Router,
    stopped: &watch::Receiver<bool>,
) -> Result<JoinSet<io::Result<()>>, Box<dyn Error>> {
    let mut listeners = JoinSet::new();
    for descriptor in inherited.descriptors() {
        let (routes, stopped) = (routes.clone(), stopped.clone());
        match descriptor.kind {
            Kind::TcpListener => {
                listeners.spawn(serve(inherited.take::<TcpListener>(descriptor.index)?, routes, stopped))
            }
            Kind::UnixListener => {
                listeners.spawn(serve(inherited.take::<UnixListener>(descriptor.index)?, routes, stopped))
            }
            other => return Err(format!("fd {} is {other}, expected a listener", descriptor.fd).into()),
        };
    }
    if !inherited.is_activated() {
        let listener: TcpListener = inherited.listen_or_bind("http", "127.0.0.1:3000")?;
        eprintln!("hello: listening on http://{}", listener.local_addr()?);
        listeners.spawn(serve(listener, routes.clone(), stopped.clone()));
    }
    Ok(listeners)
}

/// Serves one listener until `stopped`, then finishes the requests that have come in.
async fn serve<L: Listener>(listener: L, routes: Router, mut stopped: watch::Receiver<bool>) -> io::Result<()>
where
    L::Addr: std::fmt::Debug,
{
    let stop = async move {
        // An error means that the sender is gone, which is the end as well.
        let _ = stopped.wait_for(|&stopped| stopped).await;
    };
    axum::serve(listener, routes).with_graceful_shutdown(stop).await
}

/// What is answered where.
fn routes(server: &Arc<Server>) -> Router {
    Router::new()
        .route("/", get(hello))
        .route("/slow", get(slow))
        .layer(middleware::from_fn_with_state(Arc::clone(server), count))
        .with_state(Arc::clone(server))
}

/// `GET /`: who answers.
async fn hello(State(server): State<Arc<Server>>) -> String {
    let instance = &server.instance;
    format!(
        "hello from {}, instance {} of {}, pid {}, request {}\n",
        instance.unit().unwrap_or("no unit"),
        instance.number(),
        instance.instances(),
        process::id(),
        server.requests.load(Ordering::Relaxed),
    )
}

/// The query of `/slow`.
#[derive(serde::Deserialize)]
struct Slow {
    /// How long the answer takes, in milliseconds.
    ms: u64,
}

/// `GET /slow?ms=500`: the same, after a while.
async fn slow(Query(Slow { ms }): Query<Slow>, server: State<Arc<Server>>) -> String {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    hello(server).await
}

/// Counts a request, and keeps it counted as in flight until it is answered.
async fn count(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    server.requests.fetch_add(1, Ordering::Relaxed);
    server.in_flight.fetch_add(1, Ordering::Relaxed);
    let response = next.run(request).await;
    server.in_flight.fetch_sub(1, Ordering::Relaxed);
    response
}

impl Server {
    /// Ends when no request has been in flight for [`SILENCE`]: clients that have connected and say nothing, as
    /// browsers do in advance, must not hold up a stop.
    async fn silence(&self) {
        const STEP: Duration = Duration::from_millis(50);
        let mut silent = Duration::ZERO;
        while silent < SILENCE {
            tokio::time::sleep(STEP).await;
            silent = if self.in_flight.load(Ordering::Relaxed) == 0 { silent + STEP } else { Duration::ZERO };
        }
    }
}

/// Waits until every listener has been served to the end.
async fn finish(listeners: &mut JoinSet<io::Result<()>>) {
    while listeners.join_next().await.is_some() {}
}

/// Waits for either signal.
async fn until_signal([mut terminate, mut interrupt]: [Signal; 2]) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
