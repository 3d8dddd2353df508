//! The arguments of `tandem call`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, value_parser};

use crate::phone::script::Line;
use crate::sip::Uri;

/// `tandem call <uri> [--play a.wav | --say "…" | --dtmf …]… [--record out.wav] …`
#[derive(Clone, Debug, Args)]
pub struct CallArgs {
    /// Whom to call: sip:demo@127.0.0.1, sip:billing@pbx.example.com;transport=tcp
    pub uri: Uri,
    /// What to say.
    #[command(flatten)]
    pub lines: Lines,
    /// Write both voices to a WAV file: left what we said, right what we heard
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Refuse to be transferred
    #[arg(long)]
    pub refuse_refer: bool,
    /// Write a JSON object for each thing that happens
    #[arg(long)]
    pub json: bool,
}

/// The lines of a caller, in the order in which they stand on the command line, whatever their kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(pub Vec<Line>);

impl Args for Lines {
    fn augment_args(command: Command) -> Command {
        let line = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Append);
        command
            .arg(
                line("play")
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help("Play a WAV file of 16-bit samples when it is our turn; in order with --say and --dtmf"),
            )
            .arg(line("say").value_name("TEXT").help("Say a text with the configured voice"))
            .arg(line("dtmf").value_name("KEYS").help("Press keys: 0-9, *, #, A-D; w waits half a second"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Lines {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut lines: Vec<(usize, Line)> = Vec::new();
        lines.extend(placed(matches, "play", |file: &PathBuf| Line::Wav(file.clone())));
        lines.extend(placed(matches, "say", |text: &String| Line::Text(text.clone())));
        lines.extend(placed(matches, "dtmf", |digits: &String| Line::Digits(digits.clone())));
        lines.sort_by_key(|(place, _)| *place);
        Ok(Lines(lines.into_iter().map(|(_, line)| line).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The values of an argument, each with its place on the command line.
fn placed<'a, T: Clone + Send + Sync + 'static>(
    matches: &'a ArgMatches,
    name: &str,
    line: impl Fn(&T) -> Line + 'a,
) -> impl Iterator<Item = (usize, Line)> + 'a {
    let places = matches.indices_of(name).into_iter().flatten();
    let values = matches.get_many::<T>(name).into_iter().flatten();
    places.zip(values.map(line))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        call: CallArgs,
    }

    #[test]
    fn lines_keep_their_order_whatever_their_kind() {
        let args = parse(
            "sip:demo@127.0.0.1 --say hello --play a.wav --dtmf 1w# --say=bye --record out.wav --json",
        )
        .expect("sound");
        assert_eq!(
            args.lines.0,
            [
                Line::Text("hello".into()),
                Line::Wav("a.wav".into()),
                Line::Digits("1w#".into()),
                Line::Text("bye".into()),
            ]
        );
        assert_eq!(args.uri.to_string(), "sip:demo@127.0.0.1");
        assert_eq!(args.record, Some("out.wav".into()));
        assert!(args.json && !args.refuse_refer);
    }

    #[test]
    fn who_is_nobody_cannot_be_called() {
        let error = parse("demo@127.0.0.1").map(drop).unwrap_err();
        assert!(error.to_string().contains("URI without a scheme"), "{error}");
        assert!(parse("sip:demo@127.0.0.1").expect("sound").lines.0.is_empty());
    }

    fn parse(line: &str) -> Result<CallArgs, Error> {
        let words = std::iter::once("call").chain(line.split(' '));
        Program::try_parse_from(words).map(|program| program.call)
    }
}
