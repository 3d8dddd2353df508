//! baresip as a phone: a process without a sound card that plays files and records what it hears.

use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::control::Control;
use super::trace::{self, Message};
use crate::common::{LOOPBACK, at, wait_for};

/// How long the next thing to happen may take.
const PATIENCE: Duration = Duration::from_secs(45);

/// Below the ports of the system and those of the servers under test, above our own.
const RTP_PORTS: &str = "10000-16383";

/// How many packets tell that sound comes again: a second of them.
const PACKETS: u64 = 50;

/// How much is heard in a second: 8000 samples of 16 bits.
const BYTES_A_SEC: u64 = 16_000;

/// A phone. It is ended when this is dropped, and its log is shown if a test failed.
pub struct Phone {
    child: Child,
    folder: PathBuf,
    control: Control,
}

impl Phone {
    /// A phone that calls by this transport.
    pub fn caller(folder: &Path, transport: &str, says: &Path) -> Self {
        let port = free_ports();
        let account = format!("<sip:caller@{};transport={transport}>;answermode=manual", at(port));
        Self::start(folder, port, &account, says)
    }

    /// A phone that is called, and answers by itself (`auto`) or does not (`manual`).
    pub fn human(folder: &Path, port: u16, answer_mode: &str, says: &Path) -> Self {
        let account = format!("<sip:human@{}>;answermode={answer_mode}", at(port));
        Self::start(folder, port, &account, says)
    }

    fn start(folder: &Path, port: u16, account: &str, says: &Path) -> Self {
        let control = free_ports();
        let write = |name: &str, text: String| {
            fs::write(folder.join(name), text).expect("a file in our own folder");
        };
        write("config", configuration(port, control, folder, says));
        write("accounts", format!("{account};regint=0\n"));
        let log = File::create(folder.join("log")).expect("a file in our own folder");
        // By lines, so that the log of one that is killed has its last message.
        let mut child = Command::new("stdbuf")
            .args(["-oL", "baresip", "-s", "-f"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("baresip");
        let control = wait_for(PATIENCE, || {
            let ended = child.try_wait().expect("our child");
            assert!(ended.is_none(), "baresip has ended: {}", read(&folder.join("log")));
            Control::connect(control)
        });
        let control = control.expect("baresip takes no commands");
        Phone { child, folder: folder.to_owned(), control }
    }

    /// Does as its menu says: `dial`, `hold`, `sndcode`. Returns what it answers.
    #[track_caller]
    pub fn does(&mut self, command: &str, params: &str) -> String {
        let token = self.control.order(command, params);
        let answer = wait_for(PATIENCE, || self.control.answer(&token));
        let (done, data) = answer.unwrap_or_else(|| panic!("no answer to `{command}`"));
        assert!(done, "`{command} {params}`: {data}");
        data
    }

    /// Speaks: plays a file from its beginning.
    #[track_caller]
    pub fn says(&mut self, file: &Path) {
        self.does("ausrc", &format!("aufile,{}", file.display()));
    }

    /// Waits for an event of that name in a call that `is_it` admits by its Call-ID, which is returned.
    #[track_caller]
    pub fn waits_for(&mut self, event: &str, is_it: impl Fn(&str) -> bool) -> String {
        let told = wait_for(PATIENCE, || {
            let mut events = self.control.events().filter(|told| told["type"] == event);
            events.find_map(|told| told["id"].as_str().filter(|id| is_it(id)).map(str::to_owned))
        });
        told.unwrap_or_else(|| {
            let events: Vec<&Value> = self.control.events().collect();
            panic!("no `{event}` of such a call: {events:#?}")
        })
    }

    /// Holds its call. It records nothing of this call any more: with a hold, baresip puts its filters away.
    #[track_caller]
    pub fn holds(&mut self) {
        self.describes("hold");
    }

    /// Comes back from a hold, and hears the other side again.
    #[track_caller]
    pub fn comes_back(&mut self) {
        let before = self.packets();
        self.describes("resume");
        let heard = wait_for(PATIENCE, || (self.packets() >= before + PACKETS).then_some(()));
        assert!(heard.is_some(), "nothing is heard after the hold");
    }

    /// Gives a command that describes the session anew, and waits for the other side's description.
    #[track_caller]
    fn describes(&mut self, command: &str) {
        let before = self.descriptions();
        self.does(command, "");
        let answered = wait_for(PATIENCE, || (self.descriptions() > before).then_some(()));
        assert!(answered.is_some(), "no answer to the re-INVITE of `{command}`");
    }

    /// How many descriptions the other side has sent.
    fn descriptions(&mut self) -> usize {
        self.control.events().filter(|told| told["type"] == "CALL_REMOTE_SDP").count()
    }

    /// How many RTP packets it has received in its call.
    #[track_caller]
    fn packets(&mut self) -> u64 {
        let told = self.does("audio_debug", "");
        let count = told.split_once("rcvd=").and_then(|(_, rest)| rest.split_whitespace().next());
        count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count: {told}"))
    }

    /// Waits until it has heard so much more than now.
    #[track_caller]
    pub fn hears_for(&self, secs: u64) {
        let length = || fs::metadata(self.heard()).expect("what it records").len();
        let enough = length() + secs * BYTES_A_SEC;
        let heard = wait_for(PATIENCE, || (length() >= enough).then_some(()));
        assert!(heard.is_some(), "it hears nothing any more");
    }

    /// What it has recorded of its latest call. It is complete when the phone has quit.
    pub fn heard(&self) -> PathBuf {
        let files = fs::read_dir(&self.folder).expect("our own folder").flatten();
        let files = files.map(|entry| entry.path());
        let heard = files.filter(|path| path.to_string_lossy().ends_with("-dec.wav"));
        // The name is the time of the call.
        heard.max().expect("what it records")
    }

    /// Ends it. Returns the messages that it has sent and received.
    #[track_caller]
    pub fn quits(&mut self) -> Vec<Message> {
        self.control.order("quit", "");
        let status = wait_for(PATIENCE, || self.child.try_wait().expect("our child"));
        assert!(status.expect("baresip does not end").success(), "baresip has failed");
        trace::messages(&read(&self.folder.join("log")))
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = read(&self.folder.join("log"));
            eprintln!("── {} ──\n{log}", self.folder.display());
        }
    }
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

fn configuration(port: u16, control: u16, folder: &Path, says: &Path) -> String {
    let (folder, says) = (folder.display(), says.display());
    format!(
        "\
net_interface {LOOPBACK}
sip_listen {LOOPBACK}:{port}
rtp_ports {RTP_PORTS}
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module sndfile.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {LOOPBACK}:{control}
audio_source aufile,{says}
snd_path {folder}
statmode_default off
"
    )
}

/// A port for a baresip, which takes the next one as well, for TLS. Below those that the system hands out:
/// nobody gets one by chance before it listens.
pub fn free_ports() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Another place for each process that tests.
    let first = 4000 + u16::try_from(std::process::id() % 145).expect("below 145") * 40;
    let is_free = |port: u16| {
        UdpSocket::bind((LOOPBACK, port)).is_ok() && TcpListener::bind((LOOPBACK, port)).is_ok()
    };
    loop {
        let port = first + TAKEN.fetch_add(2, Ordering::Relaxed);
        if is_free(port) && is_free(port + 1) {
            return port;
        }
    }
}
