//! The command line: reads what is asked for, and leaves the work to the library.

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use jiff::Zoned;
use tandem::app::{self, Program};
use tandem::config::command::{self, Outcome, Question};
use tandem::config::{Config, Purpose};
use tandem::files::Report;
use tandem::ids::CallId;
use tandem::phone::args::CallArgs;
use tandem::phone::command::CommandSettings;
use tandem::sip::Uri;
use tandem::telemetry::{self, Telemetry};
use tandem::{context, desk, phone};

/// A SIP back-to-back user agent that talks with callers and hands them over to people.
#[derive(Parser)]
#[command(name = "tandem", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve calls. SIGHUP reads the dialplan again, SIGTERM drains, a second SIGTERM ends.
    Run {
        #[command(flatten)]
        configuration: Configuration,
    },
    /// Read the configuration and all dialplans, and tell every mistake with its place.
    Check {
        #[command(flatten)]
        configuration: Configuration,
    },
    /// Say which rule takes a call, why, and what can happen after.
    Route(Box<Route>),
    /// A phone in the terminal: dials, speaks, is transferred, and prints what it hears.
    Call {
        #[command(flatten)]
        call: CallArgs,
        #[command(flatten)]
        configuration: Configuration,
    },
    /// Play the whole story on this machine: the server, a caller, and a human's phone.
    Demo {
        #[command(flatten)]
        configuration: Configuration,
    },
    /// Show a call's briefing, transcript and outcome, from the store.
    Context {
        /// The Call-ID of the caller's leg.
        call_id: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        configuration: Configuration,
    },
}

#[derive(clap::Args)]
struct Route {
    /// Whom the call is for: sip:demo@127.0.0.1, tel:+4930555123
    #[arg(value_parser = uri)]
    uri: Uri,
    /// Who calls: a number or a user
    #[arg(long, default_value = "anonymous", value_name = "NUMBER")]
    from: String,
    /// When, by this machine's clock: "Fri 17:00", "2026-12-24 10:00" [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Zoned>,
    /// Where the call comes from, which tells its trunk
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    source: IpAddr,
    /// A header field of the INVITE, as often as needed: "X-Customer-Tier: gold"
    #[arg(long = "header", value_name = "FIELD", value_parser = header_field)]
    headers: Vec<(String, String)>,
    #[command(flatten)]
    configuration: Configuration,
}

#[derive(clap::Args)]
struct Configuration {
    /// The machine's configuration [default: ./tandem.toml if there is one, else every default]
    #[arg(long = "config", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Configuration {
    /// Reads it, telling every mistake on a line of its own. What concerns only the service is not told to
    /// those who do not run it.
    fn read(&self, purpose: Purpose) -> anyhow::Result<Config> {
        let report = Report::default();
        let config = Config::load(self.file.as_deref(), purpose, &app::environment, &report);
        if purpose != Purpose::Look || config.is_none() {
            app::tell(report);
        }
        config.context("the configuration has mistakes")
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(status) => status,
        Err(error) => {
            // One line: what happened, and behind it why.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check { configuration } => {
            return Ok(tell(command::check(configuration.file.as_deref(), &app::environment)));
        }
        Command::Route(asked) => {
            let Route { uri, from, at, source, headers, configuration } = *asked;
            let at = at.unwrap_or_else(Zoned::now);
            let question = Question { uri, from, source, headers, at };
            let file = configuration.file.as_deref();
            return Ok(tell(command::route(file, &question, &app::environment)));
        }
        Command::Run { configuration } => {
            let telemetry = Telemetry::install()?;
            let config = configuration.read(Purpose::Serve)?;
            runtime()?.block_on(serve(config, telemetry))
        }
        Command::Demo { configuration } => {
            let telemetry = Telemetry::install_for_demo()?;
            let config = configuration.read(Purpose::Serve)?;
            let dialplan = app::read_dialplan(&config)?;
            runtime()?.block_on(app::demo::run(config, dialplan, telemetry))
        }
        Command::Call { call, configuration } => {
            telemetry::install_quiet_logs()?;
            let config = configuration.read(Purpose::Look)?;
            let settings = CommandSettings {
                engines: config.speech.engines,
                listening: config.speech.listening,
                codecs: config.media.codecs,
            };
            runtime()?.block_on(phone::command::run(call, settings)).context("call")
        }
        Command::Context { call_id, json, configuration } => {
            telemetry::install_quiet_logs()?;
            let config = configuration.read(Purpose::Look)?;
            let shown = runtime()?.block_on(show_context(&config, &call_id, json))?;
            print(&shown)
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what a command has to say.
fn tell(outcome: Outcome) -> ExitCode {
    // Whoever closed the pipe has read enough.
    let _ = std::io::stdout().write_all(outcome.out.as_bytes());
    let _ = std::io::stderr().write_all(outcome.err.as_bytes());
    ExitCode::from(outcome.status)
}

/// The runtime of every command.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")
}

async fn serve(config: Config, telemetry: Telemetry) -> anyhow::Result<()> {
    let dialplan = app::read_dialplan(&config)?;
    let program = Program::start(&config, dialplan, telemetry).await?;
    print(&program.greeting())?;
    program.run(&config).await
}

async fn show_context(config: &Config, call_id: &str, json: bool) -> anyhow::Result<String> {
    let store = context::store::open(&config.store, context::store::Access::Read).await?;
    let Some(id) = CallId::new(call_id) else { bail!("`{call_id}` is no Call-ID") };
    let entries = store.read(&id).await.context("the store cannot be read")?;
    let Some(read) = context::reading::CallContext::read(&id, &entries) else {
        bail!("no call has the Call-ID `{call_id}` ({})", config.store)
    };
    if json {
        let shape = desk::wire::Call::from(&read);
        return Ok(serde_json::to_string_pretty(&shape)? + "\n");
    }
    Ok(context::render(&read))
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

fn uri(text: &str) -> Result<Uri, String> {
    text.parse().map_err(|error| format!("no URI: {error}"))
}

fn time(text: &str) -> Result<Zoned, String> {
    command::time(text, &Zoned::now())
}

fn header_field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("must be such as \"X-Customer-Tier: gold\"")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
