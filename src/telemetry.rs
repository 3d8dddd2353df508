//! Logs, spans and metrics.
//!
//! Logs go to stderr, one line each, with the spans that they belong to (`call{call_id=…}`).
//! `TANDEM_LOG` says how much, as in `info`, `tandem=debug` or `tandem::sip=trace,warn`. Metrics are
//! kept in this process and rendered as Prometheus text when the desk is asked for them.

use std::io;
use std::io::IsTerminal;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// The variable that says how much is logged.
pub const LOG_VARIABLE: &str = "TANDEM_LOG";
/// What is logged without it.
const LOG_DEFAULT: &str = "info";

/// How often histograms are brought up to date: what is recorded in between waits in memory.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The bounds of histograms of seconds: from a frame of audio to the patience of a caller.
const SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0];

/// What was set up, for as long as the program runs.
#[derive(Clone)]
pub struct Telemetry {
    /// Renders the metrics.
    pub prometheus: PrometheusHandle,
}

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The variable says something that is no filter.
    #[error("{LOG_VARIABLE} is no filter: `{filter}`")]
    Filter {
        /// What it says.
        filter: String,
        /// What is wrong with it.
        #[source]
        cause: tracing_subscriber::filter::ParseError,
    },
    /// Something else in this process takes the logs.
    #[error("logs are set up already")]
    LogsTaken(#[source] tracing_subscriber::util::TryInitError),
    /// Something else in this process takes the metrics.
    #[error("metrics cannot be set up")]
    Metrics(#[source] BuildError),
}

impl Telemetry {
    /// Sets up logs and metrics for this process: once, first thing.
    pub fn install() -> Result<Self, TelemetryError> {
        Self::install_with(LOG_DEFAULT)
    }

    /// The same for a terminal that shows something else: as quiet as `error` unless the variable says
    /// otherwise.
    pub fn install_for_demo() -> Result<Self, TelemetryError> {
        Self::install_with("error")
    }

    fn install_with(filter: &str) -> Result<Self, TelemetryError> {
        init_logs(filter)?;
        let prometheus = builder().and_then(PrometheusBuilder::install_recorder);
        let prometheus = prometheus.map_err(TelemetryError::Metrics)?;
        describe();
        Ok(Telemetry { prometheus })
    }

    /// The metrics as Prometheus text.
    pub fn render(&self) -> String {
        self.prometheus.render()
    }

    /// Keeps histograms small; runs beside everything else until it is dropped.
    pub async fn keep_up(self) {
        let mut tick = tokio::time::interval(UPKEEP_EVERY);
        loop {
            tick.tick().await;
            self.prometheus.run_upkeep();
        }
    }
}

/// Logs only, for commands that serve nothing: as quiet as `warn` unless the variable says otherwise. That
/// a socket has small buffers matters to a server alone.
pub fn install_quiet_logs() -> Result<(), TelemetryError> {
    init_logs("warn,tandem::net::udp=error")
}

fn init_logs(default: &str) -> Result<(), TelemetryError> {
    let said = std::env::var(LOG_VARIABLE).ok().filter(|filter| !filter.trim().is_empty());
    let filter = filter(said.as_deref().unwrap_or(default))?;
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .finish()
        .try_init()
        .map_err(TelemetryError::LogsTaken)
}

fn filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder()
        .parse(text)
        .map_err(|cause| TelemetryError::Filter { filter: text.to_owned(), cause })
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
}

/// What each metric means, for whoever reads `/metrics`.
fn describe() {
    describe_counter!("store_writes_total", "Journal entries that were written");
    describe_gauge!("store_backlog_entries", "Journal entries that are not written yet");
    describe_counter!("store_failures_total", "Writes that the context store refused");
    describe_counter!(
        "store_deadline_missed_total",
        "Durable entries that were not on disk within their deadline"
    );
    describe_counter!("store_lost_entries_total", "Journal entries that were given up, by where");
    describe_histogram!(
        "store_commit_seconds",
        Unit::Seconds,
        "From the beginning of a write until it is on disk"
    );
    describe_histogram!(
        "turn_stage_seconds",
        Unit::Seconds,
        "Parts of the time from a caller's last sound to the first of the answer, one after the other: \
         silence, recognition, model, voice, playout"
    );
    describe_counter!("screen_pops_total", "Screen pops by webhook, by outcome");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_counted_in_buckets() {
        let recorder = builder().unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::histogram!("store_commit_seconds").record(0.004);
            metrics::counter!("store_writes_total").increment(3);
        });

        let text = recorder.handle().render();

        for line in [
            "# TYPE store_commit_seconds histogram",
            "store_commit_seconds_bucket{le=\"0.0025\"} 0",
            "store_commit_seconds_bucket{le=\"0.005\"} 1",
            "store_commit_seconds_bucket{le=\"60\"} 1",
            "# HELP store_writes_total Journal entries that were written",
            "store_writes_total 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_named() {
        assert!(filter("tandem::sip=trace,warn").is_ok());
        let error = filter("tandem=loud").unwrap_err();
        assert_eq!(error.to_string(), "TANDEM_LOG is no filter: `tandem=loud`");
    }
}
