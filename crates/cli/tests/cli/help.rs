//! Help, and arguments that are none.

use crate::program::run;

const COMMANDS: [&str; 7] = ["demo", "bench", "send", "recv", "ls", "stat", "rm"];

#[test]
fn every_command_has_help_with_an_example() {
    for command in COMMANDS {
        let help = run(&[command, "--help"]).succeeded().text();
        assert!(help.contains("Example:\n  "), "{command}: {help}");
        assert!(help.contains(&format!("ringlane {command}")), "{command}: {help}");
        assert!(help.contains("--json"), "{command}: {help}");
    }
    let help = run(&["--help"]).succeeded().text();
    assert!(help.contains("Example:"));
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
    }
    assert!(!help.contains("demo-worker"), "it is not for people");
}

#[test]
fn the_version_is_shown() {
    assert!(run(&["--version"]).succeeded().text().starts_with("ringlane "));
}

#[test]
fn wrong_arguments_are_refused_in_one_sentence() {
    run::<&str>(&[]).failed(&["no command", "--help"]);
    run(&["fly"]).failed(&["'fly'"]);
    run(&["send"]).failed(&["NAME"]);
    run(&["ls", "--what"]).failed(&["--what"]);
    run(&["recv", "x", "--append"]).failed(&["--output"]);
    for size in ["0x1", "1x16385", "640", "x", "axb", "1x1x1", "99999999999x1", "", "\n\u{1b}[31m"]
    {
        run(&["demo", "--size", size]).failed(&["--size", "1 to 16384"]);
    }
    for frames in ["0", "-1", "many", "18446744073709551615", "18446744073709551616"] {
        run(&["demo", &format!("--frames={frames}")]).failed(&["--frames", "from 1"]);
    }
    for bytes in ["0", "-1", "some", "18446744073709551616"] {
        run(&["send", "x", &format!("--record={bytes}")]).failed(&["--record", "from 1"]);
        run(&["send", "x", &format!("--capacity={bytes}")]).failed(&["--capacity", "from 1"]);
    }
    for seconds in ["soon", "-1", "nan", "inf", "1e300"] {
        run(&["recv", "x", &format!("--timeout={seconds}")]).failed(&["--timeout"]);
    }
}
