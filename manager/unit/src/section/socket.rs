//! `[Socket]`: where to listen, how, and what traffic starts (systemd.socket(5)); and the groups that are sockmgr's own.

use super::names::word_list;
use super::option::OptionSection;
use crate::directive::{Context, Property, Scalar, Value, section};
use crate::name::{UnitName, UnitType};
use crate::value::{
    BindIpv6Only, Distribute, ExecCommand, FdName, FewestInstances, Instances, LimitAction, Listen,
    ListenKind, Mode, OnHang, ScaleOn, Span, Steering, ValueError,
};

section! {
    /// The `[Socket]` section.
    pub struct SocketSection in Socket {
        /// Every address, in the order of the lines.
        listen: Vec<Listen> = Vec::new() => "Listen" {
            "ListenStream": "Address for connections: /path, @abstract, port, 1.2.3.4:port or [v6]:port; empty: forget all Listen lines";
            "ListenDatagram": "Address for datagrams, written as for ListenStream=";
            "ListenSequentialPacket": "Unix address for connections that keep the bounds of messages";
            "ListenFIFO": "Path of a named pipe, made where there is none";
            "ListenSpecial": "Path of a device or another file that exists";
            "ListenNetlink": "A netlink family and a mask of its groups, such as kobject-uevent 1";
            "ListenMessageQueue": "Name of a POSIX message queue, made where there is none: /name";
            "ListenUSBFunction": "Path of a FunctionFS mount, whose endpoints are passed";
        }
        /// Whether the manager accepts connections and starts one service instance for each.
        accept: bool = false => "Accept" {
            "Accept": "yes: one instance of the template service per connection; no (default): one service gets the listeners";
        }
        /// The service to start; the default has the same name.
        service: Option<UnitName> = None => - {
            "Service": "The service that traffic starts; default: the one of the same name";
        }
        /// Every name given, in order; see [`SocketSection::fd_name`].
        file_descriptor_name: FdNames = FdNames::default() => "FileDescriptorName" {
            "FileDescriptorName": "Name of the descriptor in LISTEN_FDNAMES; as many as Listen lines: each names one";
        }
        /// Length of the queue of connections, as given to listen(2); the kernel caps it.
        backlog: u32 = i32::MAX as u32 => "Backlog" {
            "Backlog": "Connections that may wait to be accepted; the kernel's limit is net.core.somaxconn";
        }
        /// Access mode of unix sockets.
        socket_mode: Mode = Mode(0o666) => "SocketMode" {
            "SocketMode": "Access mode of a unix socket; default 0666";
        }
        /// Owner of unix sockets.
        socket_user: Option<super::Account> = None => "SocketUser" {
            "SocketUser": "Owner of a unix socket: a user name or number";
        }
        /// Group of unix sockets.
        socket_group: Option<super::Account> = None => "SocketGroup" {
            "SocketGroup": "Group of a unix socket: a group name or number";
        }
        /// Access mode of directories made for unix sockets.
        directory_mode: Mode = Mode(0o755) => "DirectoryMode" {
            "DirectoryMode": "Access mode of directories that are made for a unix socket; default 0755";
        }
        /// Whether unix sockets are unlinked when the unit stops.
        remove_on_stop: bool = false => "RemoveOnStop" {
            "RemoveOnStop": "Whether the unix socket is removed from the file system when the unit stops; default no";
        }
        /// `SO_REUSEPORT` also without instances.
        reuse_port: bool = false => "ReusePort" {
            "ReusePort": "Whether other programs may bind the same port (SO_REUSEPORT); default no";
        }
        /// `IPV6_V6ONLY`
        bind_ipv6_only: BindIpv6Only = BindIpv6Only::Default => "BindIPv6Only" {
            "BindIPv6Only": "Whether [::]:port takes IPv4 too: default (the system's setting), both, ipv6-only";
        }
        /// `TCP_NODELAY`
        no_delay: bool = false => "NoDelay" {
            "NoDelay": "Whether small writes are sent at once (TCP_NODELAY); default no";
        }
        /// `SO_KEEPALIVE`
        keep_alive: bool = false => "KeepAlive" {
            "KeepAlive": "Whether idle connections are probed (SO_KEEPALIVE); default no";
        }
        /// Connections served at once for one client with `Accept=yes`; zero: no limit.
        max_connections_per_source: u32 = 0 => "MaxConnectionsPerSource" {
            "MaxConnectionsPerSource": "Accept=yes: connections served at once for one address, vsock id or user; further ones are closed; default 0: any number";
        }
        /// Whether what waits is thrown away whenever the unit begins to listen.
        flush_pending: bool = false => "FlushPending" {
            "FlushPending": "Whether what a service left in the queue is thrown away when it has ended; default no";
        }
        /// The window of the poll limit; zero: no limit.
        poll_limit_interval_sec: Span = Span::from_secs(2) => "PollLimitIntervalUSec" {
            "PollLimitIntervalSec": "Window in which a listener wakes the manager PollLimitBurst= times, and then not until its end; default 2s";
        }
        /// Wakeups allowed in the window; zero: any number.
        poll_limit_burst: u32 = 0 => "PollLimitBurst" {
            "PollLimitBurst": "Wakeups by one listener within PollLimitIntervalSec=; default 0: any number";
        }
        /// Whether the commands get the listeners, too.
        pass_file_descriptors_to_exec: bool = false => "PassFileDescriptorsToExec" {
            "PassFileDescriptorsToExec": "Whether ExecStartPost=, ExecStopPre= and ExecStopPost= get the listeners; default no";
        }
        /// Commands before anything is opened.
        exec_start_pre: Vec<ExecCommand> = Vec::new() => "ExecStartPre" {
            "ExecStartPre": "Commands that run before anything is opened";
        }
        /// Commands when all is open, before traffic counts.
        exec_start_post: Vec<ExecCommand> = Vec::new() => "ExecStartPost" {
            "ExecStartPost": "Commands that run when all is open, before traffic counts";
        }
        /// Commands before all is closed.
        exec_stop_pre: Vec<ExecCommand> = Vec::new() => "ExecStopPre" {
            "ExecStopPre": "Commands that run before all is closed";
        }
        /// Commands after that.
        exec_stop_post: Vec<ExecCommand> = Vec::new() => "ExecStopPost" {
            "ExecStopPost": "Commands that run after all is closed";
        }
        /// Time allowed for each command, and from SIGTERM to SIGKILL. Loading fills in the default.
        timeout_sec: Option<Span> = None => "TimeoutUSec" {
            "TimeoutSec": "Time allowed for each command of the socket; 0 or infinity: any; default 90s";
        }
        /// Connections served at once with `Accept=yes`; what becomes of one more, `LimitAction=` says.
        max_connections: u32 = 64 => "MaxConnections" {
            "MaxConnections": "Accept=yes: connections served at once; further ones wait, or with LimitAction=fail are closed; default 64";
        }
        /// The window of the trigger limit; zero: no limit; see [`SocketSection::effective_trigger_limit_interval`].
        trigger_limit_interval_sec: Span = Span::INFINITY => ("TriggerLimitIntervalUSec" by effective_trigger_limit_interval) {
            "TriggerLimitIntervalSec": "Window in which traffic may start services TriggerLimitBurst= times; 0: any number; default 2s";
        }
        /// Triggers allowed in the window; see [`SocketSection::effective_trigger_limit_burst`].
        trigger_limit_burst: Option<u32> = None => ("TriggerLimitBurst" by effective_trigger_limit_burst) {
            "TriggerLimitBurst": "Starts by traffic within TriggerLimitIntervalSec=; 0: any number; default 200 with Accept=yes, else 20";
        }
        /// Number of instances in the socket's group; `None`: no group, one service.
        instances: Option<Instances> = None => ("Instances" own) {
            "Instances" | "Workers" | "BindMultiple":
                "Runs this many instances of the template service, each with its own listener: 1 to 256, or auto (one per CPU)";
        }
        /// Slots made at the start, for instances to come; `None`: as many as instances.
        max_instances: Option<Instances> = None => ("MaxInstances" own) {
            "MaxInstances": "How many instances `sockmgr scale` may go up to; each has its listener from the start; default: Instances=";
        }
        /// The fewest instances that scaling leaves.
        min_instances: FewestInstances = FewestInstances(Instances::Count(1)) => ("MinInstances" own) {
            "MinInstances": "How many instances scaling may go down to; 0: the last one is stopped, too, while nobody comes; default 1";
        }
        /// Whether the group grows and shrinks by itself.
        scale_on: ScaleOn = ScaleOn::No => ("ScaleOn" own) {
            "ScaleOn": "queue: the group grows up to MaxInstances= while many wait to be accepted, and shrinks while nobody does; default no";
        }
        /// More than so many, for each instance, are many.
        scale_up_queue: u32 = 4 => ("ScaleUpQueue" own) {
            "ScaleUpQueue": "ScaleOn=queue: more than so many waiting for each instance ask for one more; default 4";
        }
        /// How long they must have been many.
        scale_up_sec: Span = Span::from_secs(1) => ("ScaleUpUSec" own) {
            "ScaleUpSec": "ScaleOn=queue: there is one more instance when too many have waited for so long; default 1s";
        }
        /// How long nobody must have waited.
        scale_down_sec: Span = Span::from_secs(60) => ("ScaleDownUSec" own) {
            "ScaleDownSec": "ScaleOn=queue: there is one instance fewer when nobody has waited for so long; default 1min";
        }
        /// Whether instances have a listener each or share one.
        distribute: Option<Distribute> = None => ("Distribute" own) {
            "Distribute": "instance: each instance has its own listener (default for TCP and UDP); shared: all have the same";
        }
        /// How the kernel chooses the instance for a connection.
        steering: Steering = Steering::Hash => ("Steering" own) {
            "Steering": "How a connection finds its instance: hash (default), random, cpu (the one that received it), or weighted (hash, by InstanceWeight=)";
        }
        /// After which an instance that accepts nobody hangs; infinity: that is not looked for.
        accept_timeout_sec: Span = Span::INFINITY => ("AcceptTimeoutUSec" own) {
            "AcceptTimeoutSec": "In a group: an instance whose queue only grows for so long, while others accept, hangs; default: never";
        }
        /// What is done about an instance that hangs.
        on_hang: OnHang = OnHang::Steer => ("OnHang" own) {
            "OnHang": "An instance that hangs: steer (default: new connections go to others until it accepts again), restart (it is aborted, too)";
        }
        /// After which a service that nobody uses is stopped; zero or infinity: never.
        idle_stop_sec: Span = Span::INFINITY => ("IdleStopUSec" own) {
            "IdleStopSec": "Stops the service when nobody has been connected to its sockets, or waited there, for so long; the next one starts it again; default: never";
        }
        /// What a limit does to the socket; `None`: as `DefaultLimitAction=` says.
        limit_action: Option<LimitAction> = None => ("LimitAction" own) {
            "LimitAction": "When a limit is hit: pause the socket for the rest of the window, or fail it for good";
        }
    }
}

impl SocketSection {
    /// The window of the trigger limit: for systemd "infinity" is what was not set.
    pub fn effective_trigger_limit_interval(&self) -> Span {
        if self.trigger_limit_interval_sec.is_infinite() {
            Span::from_secs(2)
        } else {
            self.trigger_limit_interval_sec
        }
    }

    /// Number of triggers allowed in the window: 200 with `Accept=yes`, else 20, unless it was set (systemd.socket(5)).
    pub fn effective_trigger_limit_burst(&self) -> u32 {
        self.trigger_limit_burst.filter(|burst| *burst != u32::MAX).unwrap_or(if self.accept {
            200
        } else {
            20
        })
    }

    /// After which its service, if nobody uses it, stops by itself: `IdleStopSec=`, or where a group may scale to nothing
    /// `ScaleDownSec=`.
    pub fn idle_stop(&self) -> Option<Span> {
        let written = (!self.idle_stop_sec.is_infinite() && self.idle_stop_sec > Span::ZERO)
            .then_some(self.idle_stop_sec);
        let scales_to_none = self.scale_on == ScaleOn::Queue && self.min_instances == FewestInstances::NONE;
        written.or_else(|| scales_to_none.then_some(self.scale_down_sec))
    }

    /// How many slots its listeners are made for, as it is written; `None`: no group.
    pub fn pool(&self) -> Option<Instances> {
        self.instances.map(|instances| self.max_instances.unwrap_or(instances))
    }

    /// Name in `LISTEN_FDNAMES` of the descriptor for the `line`th Listen line (from 0) of `unit`.
    ///
    /// Where there are as many names as lines, each names its own; else the last one names all. Without any: the
    /// unit's name, or `connection` with `Accept=yes`.
    pub fn fd_name<'a>(&'a self, line: usize, unit: &'a UnitName) -> &'a str {
        let names = self.file_descriptor_name.as_slice();
        let given = if names.len() == self.listen.len() { names.get(line) } else { names.last() };
        match given {
            Some(name) => name.as_str(),
            None if self.accept => "connection",
            None => unit.as_str(),
        }
    }

    /// The service that the socket `unit` starts: a template with `Accept=yes` or in a group.
    pub fn triggered_service(&self, unit: &UnitName) -> Option<UnitName> {
        if let Some(service) = &self.service {
            return Some(service.clone());
        }
        if self.accept || self.instances.is_some() {
            return format!("{}@.service", unit.prefix()).parse().ok();
        }
        unit.with_type(UnitType::Service).ok()
    }

    /// What is wrong with the section as a whole: such a unit cannot be started (systemd.socket(5), in systemd's order).
    pub(crate) fn check(&self, options: &OptionSection) -> Result<(), SocketError> {
        if self.listen.is_empty() {
            return Err(SocketError::NoListen);
        }
        if self.accept && !self.listen.iter().all(|listen| listen.kind.is_acceptable()) {
            return Err(SocketError::AcceptWithoutConnections);
        }
        if self.accept && self.max_connections == 0 {
            return Err(SocketError::NoConnections);
        }
        if self.accept && self.service.is_some() {
            return Err(SocketError::AcceptWithService);
        }
        if self.accept && self.instances.is_some() {
            return Err(SocketError::AcceptWithInstances);
        }
        if self.accept && self.idle_stop().is_some() {
            return Err(SocketError::AcceptWithIdleStop);
        }
        if self.instances.is_some() && self.service.as_ref().is_some_and(|service| !service.is_template()) {
            return Err(SocketError::InstancesOfPlainService);
        }
        let has_path = |listen: &&Listen| listen.kind == ListenKind::Fifo || listen.address.path().is_some();
        if !options.symlinks.is_empty() && self.listen.iter().filter(has_path).count() != 1 {
            return Err(SocketError::SymlinksToNothing);
        }
        self.check_group()
    }

    /// What is wrong with the numbers of a group. `auto` is known only on the machine, so it is not compared with a number.
    fn check_group(&self) -> Result<(), SocketError> {
        let fits = |few: Instances, many: Instances| {
            few.count().zip(many.count()).is_none_or(|(few, many)| few <= many)
        };
        let most = self.max_instances.or(self.instances);
        if self.instances.is_none() && self.max_instances.is_some() {
            return Err(SocketError::MaxInstancesAlone);
        }
        if self.instances.is_none() && self.scale_on != ScaleOn::No {
            return Err(SocketError::ScalesAlone);
        }
        if self.scale_on != ScaleOn::No && !self.listen.iter().any(Listen::tells_queue) {
            return Err(SocketError::ScalesBlindly);
        }
        if self.scale_on != ScaleOn::No && [self.scale_up_sec, self.scale_down_sec].contains(&Span::ZERO) {
            return Err(SocketError::ScalesAtOnce);
        }
        let too_many = self.instances.zip(self.max_instances).is_some_and(|(count, max)| !fits(count, max));
        if too_many || most.is_some_and(|most| !fits(self.min_instances.0, most)) {
            return Err(SocketError::TooFewSlots);
        }
        Ok(())
    }
}

/// A `[Socket]` section that contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SocketError {
    #[error(
        "the socket listens nowhere: it needs at least one ListenStream=, ListenDatagram= or other Listen line"
    )]
    NoListen,
    #[error(
        "Accept=yes is for connections only: there must be nothing but ListenStream= and ListenSequentialPacket="
    )]
    AcceptWithoutConnections,
    #[error("MaxConnections=0 would close every connection: with Accept=yes it must be at least 1")]
    NoConnections,
    #[error("Accept=yes starts the template of the same name: there must be no Service=")]
    AcceptWithService,
    #[error("Symlinks= needs exactly one unix socket or FIFO to lead to")]
    SymlinksToNothing,
    #[error(
        "Accept=yes and Instances= exclude each other: one starts a service per connection, the other N that share the traffic"
    )]
    AcceptWithInstances,
    #[error(
        "Accept=yes and IdleStopSec= exclude each other: an instance that serves one connection ends with it"
    )]
    AcceptWithIdleStop,
    #[error("Instances= needs a template: Service= must name one, such as web@.service")]
    InstancesOfPlainService,
    #[error("MaxInstances= says how far a group may grow: it needs Instances= too")]
    MaxInstancesAlone,
    #[error("ScaleOn=queue is for groups: it needs Instances= and MaxInstances= too")]
    ScalesAlone,
    #[error(
        "ScaleOn=queue has nothing to go by: the kernel counts only what waits in TCP, UDP and unix stream sockets"
    )]
    ScalesBlindly,
    #[error(
        "ScaleUpSec=0 or ScaleDownSec=0 would have the group change its size with each client: some time is needed, such as 1s"
    )]
    ScalesAtOnce,
    #[error("a group has MinInstances= to MaxInstances= instances: Instances= must lie between the two")]
    TooFewSlots,
}

/// The names of descriptors, in the order of their lines; an empty assignment forgets all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FdNames(Vec<FdName>);

word_list!(FdNames, FdName);

impl Value for FdNames {
    const FORM: &'static str = <FdName as Scalar>::FORM;
    const SIGNATURE: &'static str = "s";

    fn assign(&mut self, text: &str, cx: &Context<'_>) -> Result<(), ValueError> {
        if text.is_empty() {
            self.0.clear();
        } else {
            self.0.push(FdName::parse(text, cx)?);
        }
        Ok(())
    }

    fn property(&self) -> Property {
        Property::Str(self.0.last().map(|name| name.as_str().to_owned()).unwrap_or_default())
    }

    fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

/// A single unit name is a value of `Service=` alone, so only services are accepted.
impl Scalar for UnitName {
    const FORM: &'static str = "the name of a service, such as web.service";
    const SIGNATURE: &'static str = "s";

    fn parse(text: &str, cx: &Context<'_>) -> Result<Self, ValueError> {
        let name: UnitName = cx.expand_name(text)?.parse()?;
        if name.unit_type() != UnitType::Service {
            return Err(ValueError::new(format!("{name} is not a service")));
        }
        Ok(name)
    }

    fn property(&self) -> Property {
        Property::Str(self.as_str().to_owned())
    }
}
