//! The dispatcher: one call in, one reply out, and what else is to be told afterwards.
//!
//! Never here: connections. Invariant: nothing is sent from here, so whoever sends decides the order: reply first.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sockmgr_engine::{JobId, Notice};
use zbus::Message;
use zbus::message::{Flags, Header};
use zbus::wire::{DynamicType, Type};

use super::Core;
use super::error::{BusError, ErrorName};
use super::interface::{Access, Interface, Method, Run, signature_of};
use super::object::Object;

/// What a method returns: the reply.
pub(super) type Answer = Result<Message, BusError>;

/// Who calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Caller {
    /// The process, where it is known.
    pub(super) pid: Option<u32>,
    /// Root or the manager's user.
    pub(super) may_change: bool,
    /// It has called Subscribe.
    pub(super) is_subscribed: bool,
}

/// What comes of a call.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// To be sent first; `None` where the caller wants none.
    pub(super) reply: Option<Message>,
    /// The caller's subscription from now on, where it changed.
    pub(super) subscription: Option<bool>,
    /// All unit files were read again.
    pub(super) reloaded: bool,
    /// Links to unit files were made or removed.
    pub(super) unit_files_changed: bool,
    /// To be told to everybody after the reply, before what the core has.
    pub(super) notices: Vec<Notice>,
}

/// What lasts from call to call.
#[derive(Debug)]
pub(super) struct Dispatcher {
    /// Number of the next job that has nothing to do. Counted down, so that they never meet those of the engine.
    next_idle_job: u32,
}

impl Default for Dispatcher {
    fn default() -> Self {
        Self { next_idle_job: u32::MAX }
    }
}

impl Dispatcher {
    /// Performs the method call `message`.
    pub(super) fn dispatch(&mut self, core: &mut dyn Core, caller: Caller, message: &Message) -> Outcome {
        let header = message.header();
        let mut outcome = Outcome::default();
        let result = self.call(core, caller, message, &mut outcome);
        if !header.primary().flags().contains(Flags::NO_REPLY_EXPECTED) {
            // A reply that cannot be built is an error reply; that one is short and always can.
            let reply = result.or_else(|error| error.reply(&header).map_err(BusError::from));
            outcome.reply = reply.ok();
        }
        outcome
    }

    fn call(
        &mut self,
        core: &mut dyn Core,
        caller: Caller,
        message: &Message,
        outcome: &mut Outcome,
    ) -> Answer {
        let header = message.header();
        let path = header.path().map(|path| path.as_str()).unwrap_or_default();
        let object = Object::at(core, path, caller.pid)?;
        let (interface, method) = find_method(&object.interfaces(core.engine()), &header)?;
        check_arguments(message, interface, method)?;
        if method.access == Access::Change && !caller.may_change {
            let text = "Access denied: only root and the user of the manager may change something.";
            return Err(BusError::new(ErrorName::AccessDenied, text));
        }
        let mut call =
            Call { core, caller, object, message, outcome, next_idle_job: &mut self.next_idle_job };
        match (method.run, call.object.clone()) {
            (Run::Unit(run), Object::Unit(unit)) => run(&mut call, &unit),
            (Run::Any(run), _) => run(&mut call),
            (Run::Unit(_), object) => {
                Err(BusError::new(ErrorName::Failed, format!("{object:?} is not a unit")))
            }
        }
    }
}

fn find_method(
    interfaces: &[&'static Interface],
    header: &Header<'_>,
) -> Result<(&'static Interface, &'static Method), BusError> {
    let member = header.member().map(|member| member.as_str()).unwrap_or_default();
    let wanted = header.interface().map(|interface| interface.as_str());
    let found =
        interfaces.iter().filter(|interface| wanted.is_none_or(|wanted| wanted == interface.name)).find_map(
            |interface| Some((*interface, interface.methods.iter().find(|method| method.name == member)?)),
        );
    found.ok_or_else(|| {
        let interface = wanted.unwrap_or("(none)");
        BusError::new(ErrorName::UnknownMethod, format!("Unknown method {member} or interface {interface}."))
    })
}

fn check_arguments(message: &Message, interface: &Interface, method: &Method) -> Result<(), BusError> {
    let given = message.body().signature().to_string_no_parens();
    let expected = signature_of(method.input);
    if given == expected {
        return Ok(());
    }
    let call = format!("{}.{}", interface.name, method.name);
    Err(BusError::invalid_args(format!(
        "Invalid arguments '{given}' to call {call}(), expecting '{expected}'."
    )))
}

/// A call under way, as methods see it.
pub(super) struct Call<'c> {
    pub(super) core: &'c mut dyn Core,
    pub(super) caller: Caller,
    pub(super) object: Object,
    pub(super) outcome: &'c mut Outcome,
    message: &'c Message,
    next_idle_job: &'c mut u32,
}

impl Call<'_> {
    /// The arguments; their types were checked against the method's table.
    pub(super) fn arguments<T: DeserializeOwned + Type>(&self) -> Result<T, BusError> {
        self.message.body().deserialize().map_err(|error| BusError::invalid_args(error.to_string()))
    }

    /// The reply with this body.
    pub(super) fn answer<B: Serialize + DynamicType>(&self, body: &B) -> Answer {
        Ok(Message::method_return(&self.message.header()).build(body)?)
    }

    /// The number of a job that ends as soon as it is asked for.
    pub(super) fn idle_job(&mut self) -> JobId {
        let id = JobId(*self.next_idle_job);
        *self.next_idle_job -= 1;
        id
    }
}
