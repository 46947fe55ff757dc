//! The program `ringlane`: pass data through named rings, look at them, remove them.

#[cfg(target_os = "linux")]
mod bench;
mod demo;
mod output;
mod rings;
#[cfg(target_os = "linux")]
mod transfer;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use output::Outcome;
use std::process::ExitCode;

#[cfg(target_os = "linux")]
const EXAMPLE: &str =
    "Example:\n  ringlane recv letters > copy.txt &\n  ringlane send letters < letters.txt";
#[cfg(not(target_os = "linux"))]
const EXAMPLE: &str = "Example:\n  ringlane demo --frames 600";

#[derive(Parser)]
#[command(
    name = "ringlane",
    version,
    about = "Rings in named shared memory: measure them, send through them, look at them",
    after_help = EXAMPLE
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    #[cfg(target_os = "linux")]
    Bench(bench::Args),
    #[cfg(target_os = "linux")]
    Send(transfer::SendArgs),
    #[cfg(target_os = "linux")]
    Recv(transfer::RecvArgs),
    Ls(rings::LsArgs),
    Stat(rings::StatArgs),
    Rm(rings::RmArgs),
    #[command(hide = true)]
    DemoWorker(demo::WorkerArgs),
}

fn main() -> ExitCode {
    // The second process of `bench` is this program, too.
    #[cfg(target_os = "linux")]
    ringlane_bench::enter(&ringlane_bench::rows::all());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::sentence(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Outcome {
    match command {
        Command::Demo(args) => demo::run(&args),
        #[cfg(target_os = "linux")]
        Command::Bench(args) => bench::run(&args),
        #[cfg(target_os = "linux")]
        Command::Send(args) => transfer::send(&args),
        #[cfg(target_os = "linux")]
        Command::Recv(args) => transfer::recv(&args),
        Command::Ls(args) => rings::ls(&args),
        Command::Stat(args) => rings::stat(&args),
        Command::Rm(args) => rings::rm(&args),
        Command::DemoWorker(args) => demo::work(&args),
    }
}

/// Shows help, or says in one sentence what is wrong with the arguments.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that went away has seen enough.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::sentence("no command was given, see `ringlane --help`");
        }
        _ => {
            // The first paragraph says what is wrong, the others how to call the program.
            let text = error.to_string();
            let first = text.split("\n\n").next().unwrap_or(&text);
            let words: Vec<&str> = first.split_whitespace().collect();
            let words = words.join(" ");
            let fault = words.strip_prefix("error: ").unwrap_or(&words);
            output::sentence(&format!("{fault}, see --help"));
        }
    }
    ExitCode::from(2)
}
