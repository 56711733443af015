//! For servers that a socket activation manager starts: sockmgr, systemd, `systemfd`, inetd.
//!
//! This crate adopts the descriptors that were passed ([`Inherited`]), falls back to binding an address when the
//! program was started by hand ([`listen_or_bind`]), tells the manager how things are ([`Notifier`]), and says which
//! of several instances the process is ([`Instance`]). It knows the protocols and nothing of any manager. It never
//! writes the environment.
//!
//! ```no_run
//! use std::net::TcpListener;
//! use sockmgr_client::{Notifier, listen_or_bind};
//!
//! let listener: TcpListener = listen_or_bind("http", "127.0.0.1:3000")?;
//! Notifier::from_env()?.ready()?;
//! for client in listener.incoming() {
//!     // …
//! #   drop(client);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A server with several sockets asks for each by name, and may look at what there is:
//!
//! ```no_run
//! use std::net::{TcpListener, UdpSocket};
//! use sockmgr_client::Inherited;
//!
//! let inherited = Inherited::from_env()?;
//! for descriptor in inherited.descriptors() {
//!     println!("fd {} ({}) is {}", descriptor.fd, descriptor.name, descriptor.kind);
//! }
//! let http: TcpListener = inherited.take("http")?;
//! let dns: UdpSocket = inherited.listen_or_bind("dns", "127.0.0.1:5353")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//! `tokio`: the same for the sockets of tokio, which are made non-blocking on the way, and `Drain`, the end of a server
//! as a future.
//!
//! Invariant of the crate: a descriptor has one owner. Callers anywhere in the process share one table, and what
//! one of them has taken nobody gets again.

mod adopt;
mod bind;
#[cfg(feature = "tokio")]
mod drain;
mod environment;
mod inherited;
mod instance;
mod kind;
mod notify;
mod stdin;
mod sys;
#[cfg(feature = "tokio")]
mod tokio_types;

pub use adopt::Adopt;
pub use bind::{Bind, ListenError, listen_or_bind};
#[cfg(feature = "tokio")]
pub use drain::{Drain, Work};
pub use environment::EnvironmentError;
pub use inherited::{Descriptor, Inherited, TakeError, Which};
pub use instance::Instance;
pub use kind::Kind;
pub use notify::{Notifier, NotifyError, State};

/// Compiles the examples of the README with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
