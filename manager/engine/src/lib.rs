//! What must happen: the state machines of sockets, services, groups and jobs.
//!
//! Pure: no I/O, no clock, no logging. The driver feeds [`Event`]s and performs the [`Action`]s that come back; time is an
//! argument and file descriptors are tokens. Invariant: every fallible action is answered by exactly one event, so any
//! ordering of the world can be replayed from a list.

mod command;
mod condition;
mod engine;
mod event;
mod group;
mod ids;
mod job;
mod limit;
mod names;
mod node;
mod pool;
mod process;
mod relations;
mod rollout;
mod saved;
mod service;
mod slots;
mod socket;
mod target;
mod transaction;
mod upkeep;
mod view;

pub use command::{Command, Direction, JobMode, KillWho, RequestError, Verb};
pub use condition::Verdict;
pub use engine::Engine;
pub use event::{
    Action, Connection, Detour, Event, ExecList, ExitStatus, KillScope, Level, MainHint, Migrated, Notice,
    Notification, PassedFd, Peer, Port, SpawnError, StoreRequest, WatchdogWord,
};
pub use ids::{FdId, JobId, ProcessId, Time};
pub use job::{JobKind, JobResult};
pub use node::{ActiveState, Stamps};
pub use rollout::Phase as RolloutPhase;
pub use saved::{SavedProcess, SavedUnit, UnitToSave};
pub use service::{CommandRecord, ServiceResult, StoredFd, commands};
pub use socket::{SocketResult, socket_commands};
pub use view::{
    GroupView, JobView, MachineView, OtherView, RolloutView, Rotation, ServiceView, SlotView, SocketView,
    UnitView,
};
