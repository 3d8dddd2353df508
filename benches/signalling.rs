//! What calls cost the built program: time, memory, and how many it takes a second. SIPp calls, over UDP on
//! loopback, and says nothing; the program has no model and a voice that costs nothing.
//!
//! ```text
//! cargo bench --bench signalling -- --json target/bench/signalling.json
//! ```
//!
//! *Time* is that of the program's own threads by the kernel's count, whoever else computes on the same
//! cores. A call is answered by an agent and hung up at once. `cpu_ms_per_call` is what all threads but the
//! media threads have for it, less what they have when nobody calls: the stack, the dialplan, the call, its
//! agent, its listener, its journal, its log. The table has the media threads and the sum as well.
//!
//! *Calls a second* is the highest pace at which no call fails and SIPp sends nothing twice, for some
//! seconds, on a program that has just started. Ports rest for 30 s, so a pace that is to be kept up needs
//! 30 ports for each call a second.
//!
//! *Memory* is what the program itself has written to (not what the kernel keeps for its sockets), while
//! calls last in which nobody speaks, and when they are gone and nothing is left in any table: what the
//! allocator has not given back to the system, and what the store remembers of calls that are over.

#![allow(missing_docs, clippy::print_stdout)]

mod common;
#[path = "signalling/cost.rs"]
mod cost;
#[path = "signalling/load.rs"]
mod load;
#[path = "signalling/memory.rs"]
mod memory;
#[path = "signalling/pace.rs"]
mod pace;
#[path = "signalling/prober.rs"]
mod prober;
#[path = "signalling/process.rs"]
mod process;
#[path = "../tests/common/mod.rs"]
mod program;

use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use common::report;
use cost::Cost;
use memory::Memory;
use pace::Pace;
use program::has_tool;
use program::place::Machine;
use program::plan::{Agent, Plan};
use program::server::Server;

/// Who takes the calls.
const AGENT: &str = "agent";

/// A call has a socket, and the system gives a process some thousand unless it asks for more.
const OPEN_FILES: u32 = 20_000;

#[derive(Parser)]
struct Args {
    /// Calls whose time is measured.
    #[arg(long, default_value_t = 20_000)]
    calls: u32,
    /// Their pace, a second.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Calls at once whose memory is measured.
    #[arg(long, default_value_t = 2000)]
    held: u32,
    /// Where to write the figures.
    #[arg(long, default_value = "target/bench/signalling.json")]
    json: std::path::PathBuf,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.calls > 0 && args.rate > 0 && args.held > 0, "nothing to measure");
    if !has_tool("sipp", &["-v"]) {
        return Ok(());
    }
    allow_open_files()?;

    let cost = Cost::measure(&start(), AGENT, args.calls, args.rate)?;
    tell_cost(&args, &cost);
    let pace = Pace::search(AGENT, start)?;
    tell_pace(&pace);
    let memory = Memory::measure(&start(), AGENT, args.held)?;
    tell_memory(&args, &memory);
    report::write(
        &args.json,
        &[
            ("cpu_ms_per_call", cost.signalling_ms()),
            ("calls_per_s", pace.kept.into()),
            ("pdd_ms_p50", cost.delay_ms(0.50)),
            ("pdd_ms_p99", cost.delay_ms(0.99)),
            ("kib_per_held_call", memory.held),
            ("kib_after_release", memory.released),
        ],
    )
}

fn tell_cost(args: &Args, cost: &Cost) {
    println!("{} calls, {} a second, hung up at once", args.calls, args.rate);
    row("cpu of a call, ms", cost.signalling_ms());
    row("the media threads', ms", cost.media_ms());
    row("together, ms", cost.whole_ms());
    row("cpu when nobody calls, % of a core", cost.idle_part() * 100.0);
    row("INVITE to 180 p50, ms", cost.delay_ms(0.50));
    row("INVITE to 180 p99, ms", cost.delay_ms(0.99));
    row("INVITE to 180 max, ms", cost.delay_ms(1.0));
    row("messages that SIPp sent again", cost.outcome.retransmissions);
}

fn tell_pace(pace: &Pace) {
    println!("the highest pace");
    row("calls a second", pace.kept.into());
    if let Some((rate, why)) = &pace.lost {
        println!("{:>36} {rate:>10}  {why}", "not kept");
    }
}

fn tell_memory(args: &Args, memory: &Memory) {
    println!("{} calls at once in which nobody speaks", args.held);
    row("memory of a call, KiB", memory.held);
    row("kept when all are over, KiB", memory.released);
    row("more after as many again, KiB", memory.again);
}

fn row(name: &str, figure: f64) {
    println!("{name:>36} {:>10}", report::shown(figure));
}

/// A program that takes as many calls as anybody makes.
fn start() -> Server {
    let agent = Agent {
        name: AGENT.to_owned(),
        ring_ms: 0,
        method: &["refer"],
        ring_secs: 5,
        human_port: 9,
    };
    let machine =
        Machine { media_ports: (1024, 65_534), calls_max: 100_000, cps_max: 10_000, log: "info" };
    let plan = Plan { store: "memory:", network: "127.0.0.0/8", agents: vec![agent] };
    Server::start_on(&plan, machine)
}

/// For this process and those that it starts.
fn allow_open_files() -> Result<()> {
    let own = std::process::id().to_string();
    let wanted = format!("--nofile={OPEN_FILES}:");
    let set = Command::new("prlimit").args(["--pid", &own, &wanted]).status();
    ensure!(set.context("`prlimit`")?.success(), "{OPEN_FILES} open files are not allowed");
    Ok(())
}
