//! An HTTP server that says hello, and who it is: axum on every TCP and unix listener that it was given.
//!
//! By hand: `cargo run --example hello`, then `curl http://127.0.0.1:3000`. Behind sockmgr: `units/web`.
//! One thread per process: with N instances on N listeners the processes are the threads.
//! Invariant: READY=1 is told after the sockets are adopted, and no client that was accepted goes without its answer.

use std::convert::Infallible;
use std::future;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use futures_util::stream;
use sockmgr_client::{Drain, Inherited, Instance, Kind, Notifier};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

/// How long a stop waits for clients that have connected, or stay connected, and ask for nothing.
const SILENCE: Duration = Duration::from_millis(300);

/// Between two events of `/events`.
const TICK: Duration = Duration::from_millis(100);

/// What the routes share.
struct Server {
    instance: Instance,
    drain: Drain,
    /// Requests so far.
    requests: AtomicU64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let inherited = Inherited::from_env()?;
    let notifier = Notifier::from_env()?;
    // Before READY=1, so that no signal finds the default action.
    let drain = Drain::on_signals(notifier.clone())?;
    let server = Arc::new(Server { instance: Instance::from_env()?, drain, requests: AtomicU64::new(0) });
    let mut listeners = serve_all(&inherited, &server)?;
    notifier.ready()?;
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
///
/// Told to shut down, axum closes at once every connection that it has not read from yet, although the request may be
/// on its way. So that is told last: when the drain begins, only the listener stops, and axum hears of it when all who
/// were there have had their answers.
async fn serve<L>(listener: L, server: Arc<Server>) -> io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let drain = server.drain.clone();
    let listener = UntilDrained { listener, drain: drain.clone() };
    axum::serve(listener, routes(server)).with_graceful_shutdown(drain.finished(SILENCE)).await
}

/// A listener that accepts nobody once the drain has begun, while those who are here stay.
struct UntilDrained<L> {
    listener: L,
    drain: Drain,
}

impl<L: Listener> Listener for UntilDrained<L> {
    type Io = L::Io;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        tokio::select! {
            biased;
            () = self.drain.begun() => future::pending().await,
            client = self.listener.accept() => client,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// What is answered where.
fn routes(server: Arc<Server>) -> Router {
    Router::new()
        .route("/", get(hello))
        .route("/slow", get(slow))
        .route("/events", get(events))
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

/// `GET /events`: an event each [`TICK`], for as long as the client stays or the server serves; a WebSocket ends the
/// same way. The last event asks the client to come again.
async fn events(State(server): State<Arc<Server>>) -> Response {
    // The drain waits for all that is sent, and not only until the answer has begun.
    let work = server.drain.work();
    let drain = server.drain.clone();
    let events = stream::unfold(Some((work, 0)), move |state| {
        let begun = drain.begun();
        async move {
            let (work, number) = state?;
            let next = tokio::select! {
                () = begun => None,
                () = tokio::time::sleep(TICK) => Some((work, number + 1)),
            };
            let text =
                if next.is_some() { format!("data: {number}\n\n") } else { "data: goodbye\n\n".to_owned() };
            Some((Ok::<_, Infallible>(text), next))
        }
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

/// Counts a request, which the drain waits for; the answers of a server that drains are the last on their connections.
async fn count(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    server.requests.fetch_add(1, Ordering::Relaxed);
    let _work = server.drain.work();
    let mut response = next.run(request).await;
    if server.drain.has_begun() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
