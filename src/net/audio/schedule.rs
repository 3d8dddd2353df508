//! How urgently a media thread is scheduled. This matters more to the pace of packets than anything
//! in the program: among equals, a thread that wakes every 5 ms waits behind whoever computes.

use std::fmt;

use thread_priority::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue,
    ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tracing::{info, warn};

/// A low real-time priority: above all that is not real-time, below the kernel's own threads.
const FIFO_PRIORITY: u8 = 10;

/// On the scale of `thread-priority`, 0 to 99: a nice value of -17.
const NICE_PRIORITY: u8 = 90;

/// What the operating system granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// SCHED_FIFO: runs as soon as it is due.
    Fifo,
    /// A negative nice value: runs soon.
    Nice,
    /// Like everybody else.
    Normal,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Fifo => "fifo",
            Class::Nice => "nice",
            Class::Normal => "normal",
        })
    }
}

/// Asks for the best class for this thread, and says which it was.
pub(super) fn hurry() -> Class {
    let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let other = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    if ask(FIFO_PRIORITY, fifo) {
        info!("the media thread runs in real time");
        Class::Fifo
    } else if ask(NICE_PRIORITY, other) {
        info!("the media thread runs with a negative nice value; CAP_SYS_NICE gives it real time");
        Class::Nice
    } else {
        warn!("the media thread runs like any other: audio will stutter on a busy machine");
        Class::Normal
    }
}

fn ask(priority: u8, policy: ThreadSchedulePolicy) -> bool {
    let Ok(value) = ThreadPriorityValue::try_from(priority) else { return false };
    let priority = ThreadPriority::Crossplatform(value);
    set_thread_priority_and_policy(thread_native_id(), priority, policy).is_ok()
}
