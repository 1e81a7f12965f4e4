//! A command of `cargo xtask`, its help, and how a command line finds it.

use std::fmt;
use std::process::ExitCode;

use crate::process::Failure;

/// One command.
pub(crate) struct Command {
    /// What is typed after `cargo xtask`.
    pub(crate) name: &'static str,
    /// The arguments it takes, as the help shows them.
    pub(crate) arguments: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// Does it, with the arguments after the name.
    pub(crate) run: fn(&[String]) -> Result<(), Failure>,
}

/// Runs the command that the first word names.
pub(crate) fn dispatch(commands: &[Command], words: impl Iterator<Item = String>) -> ExitCode {
    let words: Vec<String> = words.collect();
    let Some((name, arguments)) = words.split_first() else {
        eprint!("{}", Help(commands));
        return ExitCode::FAILURE;
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", Help(commands));
        return ExitCode::SUCCESS;
    }
    let Some(command) = commands.iter().find(|command| command.name == name) else {
        eprint!("there is no command `{name}`\n\n{}", Help(commands));
        return ExitCode::FAILURE;
    };
    match (command.run)(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("cargo xtask {name}: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Takes `flag` out of `arguments`: whether it was there, and the others.
pub(crate) fn take_flag(arguments: &[String], flag: &str) -> (bool, Vec<String>) {
    let others = arguments.iter().filter(|argument| *argument != flag);
    let others: Vec<String> = others.cloned().collect();
    (others.len() < arguments.len(), others)
}

/// Refuses arguments that a command does not know.
pub(crate) fn no_more(arguments: &[String]) -> Result<(), Failure> {
    match arguments.first() {
        None => Ok(()),
        Some(unknown) => Err(Failure::because(format!(
            "there is no argument `{unknown}`"
        ))),
    }
}

/// The help text of all commands.
struct Help<'a>(&'a [Command]);

impl fmt::Display for Help<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Usage: cargo xtask COMMAND [ARGUMENTS]\n")?;
        for command in self.0 {
            let usage = format!("{} {}", command.name, command.arguments);
            writeln!(f, "  {usage:<34}{}", command.about)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMANDS: &[Command] = &[
        Command {
            name: "well",
            arguments: "[--full]",
            about: "Ends well.",
            run: |_| Ok(()),
        },
        Command {
            name: "badly",
            arguments: "",
            about: "Ends badly.",
            run: |_| Err(Failure::because("as announced")),
        },
    ];

    fn exit(words: &[&str]) -> ExitCode {
        dispatch(COMMANDS, words.iter().map(|word| word.to_string()))
    }

    #[test]
    fn the_exit_code_is_that_of_the_command() {
        assert_eq!(exit(&["well"]), ExitCode::SUCCESS);
        assert_eq!(exit(&["badly"]), ExitCode::FAILURE);
        assert_eq!(exit(&["help"]), ExitCode::SUCCESS);
        assert_eq!(exit(&["unknown"]), ExitCode::FAILURE);
        assert_eq!(exit(&[]), ExitCode::FAILURE);
    }

    #[test]
    fn the_help_names_every_command() {
        let help = Help(crate::COMMANDS).to_string();
        for command in crate::COMMANDS {
            assert!(help.contains(&format!("  {} ", command.name)), "{help}");
        }
    }

    #[test]
    fn a_flag_is_taken_out() {
        let arguments = ["--full".to_owned(), "name".to_owned()];
        assert_eq!(take_flag(&arguments, "--full"), (true, vec!["name".into()]));
        assert_eq!(take_flag(&arguments, "--half"), (false, arguments.to_vec()));
        assert!(no_more(&arguments).is_err());
    }
}
