//! A simulated machine, played from seeds: clients connect, processes start slowly, crash, hang and ignore signals, commands and
//! reloads come at any moment, and so does the death of the manager. After every step the rules of `checks` hold; when the faults
//! stop, everything settles and everybody is served.
//!
//! A seed is one random order of events. Most are played in small worlds, each of a few units that have to do with one another
//! (`units::SCENES`): there many short plays reach what a long play of everything at once seldom meets. The large world has all units, and
//! is played for more than three hours of its own time. A run tells how much it has played, and how fast: on two cores it takes some 45 seconds.
//!
//! `SOCKMGR_SEEDS=n` plays n seeds instead of the usual number, `SOCKMGR_SEED=s` plays that one only, with all that happens told.

#[path = "../support/mod.rs"]
mod support;

mod checks;
mod driver;
mod keeper;
mod kernel;
mod process;
mod rng;
mod units;
mod world;

use std::io::Write;
use std::time::Instant;

use units::{EVERYTHING, SCENES, Scene};
use world::{Tally, World};

/// Plays of small worlds, with 20 random steps each and what follows from them: two million random choices, and about as many answers,
/// which come in any order, too. A core plays about 1000 in a second. Longer runs say how many.
const ORDERS: u64 = 100_000;
/// Plays of the large world, which come to more than [`TORTURE`].
const LARGE: u64 = 150;
/// Simulated time, microseconds: three hours.
const TORTURE: u64 = 3 * 3600 * 1_000_000;
/// Lines of history that are told of a seed that fails, if nobody has asked for that seed.
const HISTORY: usize = 200;

fn number_from_environment(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

#[test]
fn its_unit_files_are_good() {
    for scene in SCENES.iter().chain([&EVERYTHING]) {
        for version in 0..3 {
            let settings = sockmgr_unit::Settings::default();
            support::check_library(&mut support::library(&scene.text(version), &settings));
        }
    }
}

#[test]
fn no_order_of_events_breaks_a_promise() {
    play_all(ORDERS, |seed| &SCENES[seed as usize % SCENES.len()]);
}

#[test]
fn hours_of_everything_at_once_break_no_promise() {
    let tally = play_all(LARGE, |_| &EVERYTHING);
    let is_usual =
        ["SOCKMGR_SEED", "SOCKMGR_SEEDS"].iter().all(|variable| std::env::var_os(variable).is_none());
    assert!(!is_usual || tally.time >= TORTURE, "only {} s were simulated", tally.time / 1_000_000);
}

/// Plays the usual number of seeds, or those that the environment names, on all cores.
fn play_all(usual: u64, scene: impl Fn(u64) -> &'static Scene + Sync) -> Tally {
    if let Some(seed) = number_from_environment("SOCKMGR_SEED") {
        return World::play(scene(seed), seed, usize::MAX);
    }
    let count = number_from_environment("SOCKMGR_SEEDS").unwrap_or(usual);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let begin = Instant::now();
    let play_some =
        |first: u64| (first..count).step_by(threads as usize).map(|seed| play(scene(seed), seed)).sum();
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let players: Vec<_> = (0..threads).map(|first| scope.spawn(move || play_some(first))).collect();
        players.into_iter().map(|player| player.join().expect("a seed has failed")).collect()
    });
    let tally: Tally = tallies.into_iter().sum();
    tell(count, threads, begin.elapsed().as_secs_f64(), tally);
    tally
}

/// Past the capture of tests: what a run was worth is part of its result.
fn tell(count: u64, threads: u64, seconds: f64, tally: Tally) {
    let Tally { steps, events, time } = tally;
    let each = count as f64 / seconds;
    let (core, per_core) = (each / threads as f64, (steps + events) as f64 / seconds / threads as f64);
    let hours = time as f64 / 3.6e9;
    let said = writeln!(
        std::io::stderr(),
        "simulation: {count} orderings in {seconds:.1} s, {each:.0} per second, {core:.0} per second and core; \
         {steps} random steps, {events} events ({per_core:.0} per second and core), {hours:.1} simulated hours"
    );
    said.expect("standard error is there");
}

fn play(scene: &'static Scene, seed: u64) -> Tally {
    std::panic::catch_unwind(|| World::play(scene, seed, 0)).unwrap_or_else(|_| {
        eprintln!("seed {seed} ({}) fails; once more, told (SOCKMGR_SEED={seed} repeats this)", scene.name);
        World::play(scene, seed, HISTORY);
        panic!("seed {seed} fails only sometimes: something in it is not from the seed");
    })
}
