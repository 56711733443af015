//! The end of a server that loses nobody: a signal that it has come, and a count of what is still to be finished.
//! Never closes a listener or a connection: that is for the server, which knows its protocol.
//! Invariant: it begins once, and the manager is told once, however many call for it.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::inherited::TakeError;
use crate::notify::Notifier;

/// The drain of a server: from when it is told to stop until its last client has been served.
///
/// At SIGTERM or SIGINT, or when [`begin`](Self::begin) is called, the manager hears `STOPPING=1`, which takes this
/// process out of rotation, and [`begun`](Self::begun) resolves for all who wait for it. A server then
///
/// 1. accepts nobody any more: who waits in the queue of an inherited listener is served by the next process;
/// 2. answers who is here, and asks them to come back on a new connection (`Connection: close`, a close frame);
/// 3. ends when [`finished`](Self::finished) resolves.
///
/// Clones are handles of the same drain.
///
/// ```no_run
/// # async fn serve(_: tokio::net::TcpStream) {}
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use sockmgr_client::{Drain, Notifier, listen_or_bind};
///
/// let listener: tokio::net::TcpListener = listen_or_bind("http", "127.0.0.1:3000")?;
/// let notifier = Notifier::from_env()?;
/// // Before READY=1, so that no signal finds the default action.
/// let drain = Drain::on_signals(notifier.clone())?;
/// notifier.ready()?;
/// loop {
///     tokio::select! {
///         client = listener.accept() => {
///             let (client, _) = client?;
///             let work = drain.work();
///             tokio::spawn(async move {
///                 serve(client).await;
///                 drop(work);
///             });
///         }
///         () = drain.begun() => break,
///     }
/// }
/// drain.finished(Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Drain {
    shared: Arc<Shared>,
}

struct Shared {
    notifier: Notifier,
    has_begun: watch::Sender<bool>,
    /// How many [`Work`]s there are.
    works: watch::Sender<usize>,
}

/// Something that a drain waits for: a request, a connection. It is done when this is dropped.
#[must_use = "it is done when it is dropped"]
pub struct Work {
    shared: Arc<Shared>,
}

impl Drain {
    /// A drain that begins only when [`begin`](Self::begin) is called.
    #[must_use]
    pub fn new(notifier: Notifier) -> Self {
        let (has_begun, works) = (watch::Sender::new(false), watch::Sender::new(0));
        Self { shared: Arc::new(Shared { notifier, has_begun, works }) }
    }

    /// A drain that begins at SIGTERM, which managers send, or SIGINT, which is Ctrl-C. From now on these signals do
    /// nothing else.
    ///
    /// # Errors
    /// When there is no tokio runtime with I/O, or the signals cannot be listened to.
    pub fn on_signals(notifier: Notifier) -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(|_| io::Error::other(TakeError::NoRuntime))?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let drain = Self::new(notifier);
        let begins = drain.clone();
        runtime.spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            begins.begin();
        });
        Ok(drain)
    }

    /// Begins it, if it has not begun, and tells the manager. A manager that cannot be told is no reason to go on, so
    /// that is no error.
    pub fn begin(&self) {
        let is_first =
            self.shared.has_begun.send_if_modified(|has_begun| !std::mem::replace(has_begun, true));
        if !is_first {
            return;
        }
        let notifier = self.shared.notifier.clone();
        let tell = move || drop(notifier.stopping());
        // Telling waits for a manager that hangs, and the clients of a runtime with one thread must not.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(tell)),
            Err(_) => tell(),
        }
    }

    /// Whether it has begun: answers from now on ask their clients to leave.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.shared.has_begun.borrow()
    }

    /// Resolves when it has begun; at once, if it has already. It borrows nothing, so that it can be given away, for
    /// instance to `axum::serve(…).with_graceful_shutdown`; but see the example `hello` for what that closes.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut has_begun = self.shared.has_begun.subscribe();
        let shared = Arc::clone(&self.shared);
        async move {
            // The sender lives as long as `shared`, so that an error cannot come.
            let _ = has_begun.wait_for(|has_begun| *has_begun).await;
            drop(shared);
        }
    }

    /// Something that [`finished`](Self::finished) waits for, until it is dropped. It is possible after the drain has
    /// begun, too: clients who are connected already may still ask for something.
    pub fn work(&self) -> Work {
        self.shared.works.send_modify(|works| *works += 1);
        Work { shared: Arc::clone(&self.shared) }
    }

    /// Resolves when the drain has begun and then, for a time of `silence`, there was no [`Work`], nor did any come.
    /// The silence gives those a chance whose request is on its way: a few round trips, no more than the manager waits
    /// before it kills (`TimeoutStopSec=`).
    pub fn finished(&self, silence: Duration) -> impl Future<Output = ()> + Send + use<> {
        let begun = self.begun();
        let mut works = self.shared.works.subscribe();
        let shared = Arc::clone(&self.shared);
        async move {
            begun.await;
            loop {
                // An error cannot come, as above.
                let _ = works.wait_for(|works| *works == 0).await;
                works.mark_unchanged();
                if tokio::time::timeout(silence, works.changed()).await.is_err() {
                    break drop(shared);
                }
            }
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.shared.works.send_modify(|works| *works -= 1);
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let works = *self.shared.works.borrow();
        f.debug_struct("Drain").field("has_begun", &self.has_begun()).field("works", &works).finish()
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::pin::pin;
    use tokio::time::{Instant, advance, pause, timeout};

    fn alone() -> Drain {
        Drain::new(Notifier::default())
    }

    #[tokio::test]
    async fn it_begins_once_for_all_who_wait_and_tells_the_manager_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let drain = Drain::new(Notifier::to(path.to_str().unwrap()).unwrap());
        let (before, other) = (drain.begun(), drain.clone());
        assert!(!drain.has_begun());
        other.begin();
        drain.begin();
        before.await;
        drain.begun().await;
        assert!(drain.has_begun());
        tokio::task::spawn_blocking(move || {
            let mut text = [0; 64];
            let length = manager.recv(&mut text).unwrap();
            assert_eq!(&text[..length], b"STOPPING=1");
            manager.set_nonblocking(true).unwrap();
            assert!(manager.recv(&mut text).is_err(), "it was told once");
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_signal_begins_it() {
        let drain = Drain::on_signals(Notifier::default()).unwrap();
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).unwrap();
        drain.begun().await;
    }

    #[test]
    fn outside_a_runtime_it_can_only_be_told() {
        let error = Drain::on_signals(Notifier::default()).unwrap_err();
        assert_eq!(error.to_string(), "a tokio type can only be taken within a tokio runtime");
        let drain = alone();
        drain.begin();
        assert!(drain.has_begun());
    }

    #[tokio::test]
    async fn it_is_not_finished_before_it_has_begun_nor_before_its_work_is_done() {
        pause();
        let drain = alone();
        let second = Duration::from_secs(1);
        let mut finished = pin!(drain.finished(Duration::ZERO));
        assert!(timeout(second, &mut finished).await.is_err(), "it has not begun");
        let work = [drain.work(), drain.work()];
        drain.begin();
        assert!(timeout(second, &mut finished).await.is_err(), "{drain:?}");
        let [first, last] = work;
        drop(first);
        assert!(timeout(second, &mut finished).await.is_err(), "{drain:?}");
        drop(last);
        finished.await;
    }

    #[tokio::test]
    async fn whatever_comes_into_the_silence_begins_it_anew() {
        pause();
        let drain = alone();
        drain.begin();
        let begin = Instant::now();
        let finished = tokio::spawn(drain.finished(Duration::from_secs(10)));
        for _ in 0..3 {
            tokio::task::yield_now().await;
            advance(Duration::from_secs(9)).await;
            drop(drain.work());
        }
        finished.await.unwrap();
        assert_eq!(begin.elapsed().as_secs(), 37);
    }
}
