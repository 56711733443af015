//! An HTTP server that says hello, and who it is: axum on every TCP and unix listener that it was given.
//!
//! By hand: `cargo run --example hello`, then `curl http://127.0.0.1:3000`. Behind sockmgr: `units/web`.
//! One thread per process: with N instances on N listeners the processes are the threads.
//! Invariant: READY=1 is told after the sockets are adopted, and no client that was accepted goes without its answer.

use std::future;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::header::{CONNECTION, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::serve::Listener;
use sockmgr_client::{Inherited, Instance, Kind, Notifier};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a stop waits for clients that have connected, or stay connected, and ask for nothing.
const SILENCE: Duration = Duration::from_millis(300);

/// The life of the server. `axum::serve` knows no [`Phase::Stopping`]: told to shut down it closes at once every
/// connection that it has not read from yet, although the request may be on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    /// Clients are accepted.
    Serving,
    /// Nobody is accepted any more; who is here is answered, and told to come back on a new connection.
    Stopping,
    /// Only what is being answered is finished.
    Closing,
}

/// What the routes share.
struct Server {
    instance: Instance,
    phase: watch::Sender<Phase>,
    /// Requests so far.
    requests: AtomicU64,
    /// Requests that are being answered.
    in_flight: AtomicU32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let inherited = Inherited::from_env()?;
    // Before READY=1, so that no signal finds the default action.
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let notifier = Notifier::from_env()?;
    let server = Arc::new(Server {
        instance: Instance::from_env()?,
        phase: watch::Sender::new(Phase::Serving),
        requests: AtomicU64::new(0),
        in_flight: AtomicU32::new(0),
    });
    let mut listeners = serve_all(&inherited, &server)?;
    notifier.ready()?;

    until_signal(signals).await;
    server.phase.send_replace(Phase::Stopping);
    // The clients matter more than a manager that is not there.
    if let Err(error) = notifier.stopping() {
        eprintln!("hello: {error}");
    }
    server.silence().await;
    server.phase.send_replace(Phase::Closing);
    while let Some(served) = listeners.join_next().await {
        served??;
    }
    Ok(())
}

/// Serves every listener that was passed, or one of our own when there is none.
fn serve_all(inherited: &Inherited, server: &Arc<Server>) -> anyhow::Result<JoinSet<io::Result<()>>> {
    let mut listeners = JoinSet::new();
    for descriptor in inherited.descriptors() {
        let server = Arc::clone(server);
        match descriptor.kind {
            Kind::TcpListener => {
                listeners.spawn(serve(inherited.take::<TcpListener>(descriptor.index)?, server))
            }
            Kind::UnixListener => {
                listeners.spawn(serve(inherited.take::<UnixListener>(descriptor.index)?, server))
            }
            other => anyhow::bail!("fd {} is {other}, expected a listener", descriptor.fd),
        };
    }
    if !inherited.is_activated() {
        let listener: TcpListener = inherited.listen_or_bind("http", "127.0.0.1:3000")?;
        eprintln!("hello: listening on http://{}", listener.local_addr()?);
        listeners.spawn(serve(listener, Arc::clone(server)));
    }
    Ok(listeners)
}

/// Serves one listener until the end.
async fn serve<L>(listener: L, server: Arc<Server>) -> io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let mut phase = server.phase.subscribe();
    let listener = WhileServing { listener, phase: phase.clone() };
    let closing = async move { reached(&mut phase, Phase::Closing).await };
    axum::serve(listener, routes(server)).with_graceful_shutdown(closing).await
}

/// A listener that accepts nobody once the server stops, while those who are here stay.
struct WhileServing<L> {
    listener: L,
    phase: watch::Receiver<Phase>,
}

impl<L: Listener> Listener for WhileServing<L> {
    type Io = L::Io;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        tokio::select! {
            biased;
            () = reached(&mut self.phase, Phase::Stopping) => future::pending().await,
            client = self.listener.accept() => client,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Waits until the server is in that phase, or beyond.
async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // An error means that the server is gone, which is beyond every phase.
    let _ = phase.wait_for(|&phase| phase >= wanted).await;
}

/// What is answered where.
fn routes(server: Arc<Server>) -> Router {
    Router::new()
        .route("/", get(hello))
        .route("/slow", get(slow))
        .layer(middleware::from_fn_with_state(Arc::clone(&server), count))
        .with_state(server)
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
    let mut response = next.run(request).await;
    server.in_flight.fetch_sub(1, Ordering::Relaxed);
    if *server.phase.borrow() >= Phase::Stopping {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl Server {
    /// Ends when no request has been in flight for [`SILENCE`].
    async fn silence(&self) {
        const STEP: Duration = Duration::from_millis(10);
        let mut silent = Duration::ZERO;
        while silent < SILENCE {
            tokio::time::sleep(STEP).await;
            silent = if self.in_flight.load(Ordering::Relaxed) == 0 { silent + STEP } else { Duration::ZERO };
        }
    }
}

/// Waits for either signal.
async fn until_signal([mut terminate, mut interrupt]: [Signal; 2]) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
