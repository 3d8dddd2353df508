//! A world: a network, the program, phones, and time that a story owns.
//!
//! Everything runs as tasks of one thread on a clock that stands still until every task waits; so a
//! minute of a story takes no minute, and a run follows from its seed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tandem::context::store::ContextStore;
use tandem::context::{CallContext, Entry};
use tandem::ids::CallId;
use tandem::net::sim::{Conditions, SimNetwork};
use tokio::runtime::Runtime;

use crate::ladder;
use crate::phone::Phone;
use crate::program::{self, Program, Setup, US};
use crate::tones::Voice;

/// What the recogniser understands next, by Call-ID.
pub type Script = Arc<Mutex<BTreeMap<String, String>>>;

/// How finely a story watches.
const STEP: Duration = Duration::from_millis(20);

/// 64·T1 and a little: after that the stack has forgotten a call.
const FORGOTTEN: Duration = Duration::from_secs(40);

/// Where a story is played: which seed, which weather.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    pub seed: u64,
    pub conditions: Conditions,
}

impl Stage {
    /// A quiet network: what ladders are drawn from.
    pub fn calm() -> Self {
        Stage { seed: 1, conditions: Conditions::LOCAL }
    }

    /// A poor one.
    pub fn poor(seed: u64) -> Self {
        Stage { seed, conditions: Conditions::POOR }
    }

    /// Whether packets get lost, so that nothing can be said of exact times.
    pub fn is_poor(&self) -> bool {
        self.conditions.loss > 0.0
    }

    /// Builds the world of a story.
    pub fn set(self, setup: Setup) -> World {
        World::new(self, setup)
    }
}

pub struct World {
    pub program: Program,
    pub network: SimNetwork,
    pub phones: Vec<Phone>,
    runtime: Runtime,
    script: Script,
    pub epoch: Instant,
    tasks: usize,
    is_poor: bool,
}

impl World {
    fn new(stage: Stage, setup: Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let clock = runtime.enter();
        let epoch = tokio::time::Instant::now().into_std();
        let network = SimNetwork::new(stage.seed, stage.conditions);
        let script = Script::default();
        let program = program::start(stage.seed, &setup, &network, script.clone());
        drop(clock);
        let mut world = World {
            program,
            network,
            phones: vec![],
            runtime,
            script,
            epoch,
            tasks: 0,
            is_poor: stage.is_poor(),
        };
        world.run_for(STEP);
        world.tasks = world.alive_tasks();
        world
    }

    /// Puts up a phone. It rings for ever when it is called, refuses REFER with 405, and answers OPTIONS.
    pub fn phone(&mut self, name: &'static str) -> Phone {
        let ip = address_of(name);
        let (handle, script) = (self.runtime.handle().clone(), self.script.clone());
        let phone = Phone::new(name, ip, self.network.host(ip), self.epoch, handle, script);
        self.phones.push(phone.clone());
        // Its task.
        self.tasks += 1;
        phone
    }

    /// Packets from one host to another take so long from now on.
    pub fn is_slow(&self, from: IpAddr, to: IpAddr, delay: Duration) {
        self.network.set_conditions(from, to, Conditions { delay, ..Conditions::PERFECT });
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Lets time pass until something is so.
    #[track_caller]
    pub fn until(&mut self, what: &str, within: Duration, mut is_so: impl FnMut(&World) -> bool) {
        let begun = self.now();
        while !is_so(self) {
            assert!(self.now() - begun < within, "{what}: not within {within:?}");
            self.run_for(STEP);
        }
    }

    /// The agent speaks to this phone, and comes to an end.
    #[track_caller]
    pub fn agent_speaks(&mut self, phone: &Phone) {
        let within = Duration::from_secs(15);
        self.until("the agent speaks", within, |_| phone.hears(Voice::Agent));
        self.until("the agent ends", within, |_| !phone.hears(Voice::Agent));
    }

    /// The phone's user says something, to the end.
    #[track_caller]
    pub fn says(&mut self, phone: &Phone, words: &str) {
        phone.says(words);
        self.until("the words are said", Duration::from_secs(20), |_| !phone.is_talking());
    }

    /// One speaks and the other hears it. Who is not heard says it again: in a poor network the answer of
    /// the other's phone may be sent twice before it arrives.
    #[track_caller]
    pub fn is_heard(&mut self, speaker: &Phone, by: &Phone) {
        let (voice, tries) = (Voice::of(speaker.name), if self.is_poor { 6 } else { 1 });
        let mut heard = false;
        for _ in 0..tries {
            speaker.says("can you hear me");
            self.until("the words are said", Duration::from_secs(20), |_| {
                heard |= by.hears(voice);
                !speaker.is_talking()
            });
            if heard {
                return;
            }
        }
        panic!("{} does not hear {voice}", by.name);
    }

    /// Both hear each other.
    #[track_caller]
    pub fn talk(&mut self, one: &Phone, other: &Phone) {
        self.is_heard(one, other);
        self.is_heard(other, one);
    }

    /// The call of this phone's last line as the recorder has it now.
    pub fn context(&mut self, call_id: &str) -> CallContext {
        let call_id = CallId::new(call_id).expect("a Call-ID");
        let recorder = self.program.recorder.clone();
        let read = self.runtime.block_on(async move { recorder.read(&call_id).await });
        read.expect("the store can be read").expect("there is such a call")
    }

    /// The journal of a call in the store.
    pub fn read_store(&self, call_id: &str) -> Vec<Entry> {
        let call_id = CallId::new(call_id).expect("a Call-ID");
        let store = self.program.store.clone();
        let read = self.runtime.block_on(async move { store.read(&call_id).await });
        read.expect("the store can be read")
    }

    /// The program is told to end.
    pub fn shut_down(&mut self) {
        let registry = &self.program.calls.registry;
        self.runtime.block_on(async {
            registry.refuse().await;
            registry.hang_up().await;
        });
    }

    /// How many responses begin with these words.
    pub fn responses(&self, begin: &str) -> usize {
        self.responses_with(begin, "")
    }

    /// How many of them have that header field.
    pub fn responses_with(&self, begin: &str, field: &str) -> usize {
        let captured = self.network.captured();
        let texts = captured.iter().map(|message| String::from_utf8_lossy(&message.bytes));
        let begin = format!("SIP/2.0 {begin}");
        let fits = |text: &str| {
            text.starts_with(&begin) && text.lines().any(|line| line.starts_with(field))
        };
        texts.filter(|text| fits(text)).count()
    }

    /// Now, since the world began.
    pub fn now(&self) -> Duration {
        let _clock = self.runtime.enter();
        tokio::time::Instant::now().into_std() - self.epoch
    }

    /// Waits until the stack has forgotten all that was.
    pub fn forget(&mut self) {
        self.run_for(FORGOTTEN);
    }

    /// Tasks of the program that are not always there.
    pub fn extra_tasks(&self) -> usize {
        self.alive_tasks().saturating_sub(self.tasks)
    }

    fn alive_tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }
}

/// A story that fails shows how it came to that.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", ladder::draw(self));
        }
    }
}

/// Where everybody is.
pub fn address_of(name: &str) -> IpAddr {
    let last = match name {
        "caller" => 11,
        "second" => 12,
        "sarah" => 21,
        "jan" => 22,
        other => panic!("nobody is called {other}"),
    };
    IpAddr::from([10, 0, 0, last])
}

/// The name of who is at an address.
pub fn name_of(ip: IpAddr) -> &'static str {
    let names = ["caller", "second", "sarah", "jan"];
    match names.into_iter().find(|name| address_of(name) == ip) {
        Some(name) => name,
        None if ip == US => "tandem",
        None => panic!("nobody is at {ip}"),
    }
}

pub const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
