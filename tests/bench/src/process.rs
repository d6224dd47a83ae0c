//! A child process: starts it on its core, exchanges lines with it, reads its CPU time and memory,
//! and kills it.
use crate::{
    machine::{self, CpuTime},
    peers::CommandLine,
};
use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

/// Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Its end stops the process.
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Process {
    /// Starts a process on a core. The calling thread is on `back` afterwards.
    pub(crate) fn start(command: &CommandLine, core: usize, back: usize) -> io::Result<Self> {
        // A child inherits the core of its parent, so the process has one core from its first
        // instruction.
        machine::pin(core)?;
        let process = Self::start_anywhere(command);
        machine::pin(back)?;
        process
    }

    /// Starts a process on the cores of the calling thread.
    pub(crate) fn start_anywhere(command: &CommandLine) -> io::Result<Self> {
        let mut child = Command::new(&command.program)
            .args(&command.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the process does not have a standard input and output"));
        };
        let (sender, lines) = mpsc::channel();
        // A thread can be abandoned; a read cannot.
        thread::spawn(move || {
            let _ = BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
        });
        Ok(Self { child, stdin, lines })
    }

    /// Returns the next line of the process's standard output.
    pub(crate) fn line(&self, within: Duration) -> io::Result<String> {
        self.lines
            .recv_timeout(within)
            .map_err(|_| io::Error::other(format!("the process ended, or printed no line within {within:?}")))
    }

    /// Writes a line to the process's standard input.
    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.stdin, "{line}")
    }

    pub(crate) fn cpu_time(&self) -> io::Result<CpuTime> {
        CpuTime::of(self.child.id())
    }

    pub(crate) fn resident_kb(&self) -> io::Result<u64> {
        machine::resident_kb(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process has nothing to save.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let command = CommandLine { program: "sh".into(), arguments: vec!["-c".into(), script.into()] };
        let cores = machine::Cores::choose().unwrap();
        Process::start(&command, cores.server, cores.load).unwrap()
    }

    #[test]
    fn lines_go_to_a_process_and_come_back() {
        let mut process = shell("read line; echo \"got $line\"; read line; echo \"and $line\"");
        process.say("one").unwrap();
        assert_eq!(process.line(Duration::from_secs(60)).unwrap(), "got one");
        process.say("two").unwrap();
        assert_eq!(process.line(Duration::from_secs(60)).unwrap(), "and two");
    }

    #[test]
    fn a_process_that_ends_is_an_error_at_once() {
        let error = shell("exit 3").line(Duration::from_secs(3600)).unwrap_err();
        assert!(error.to_string().starts_with("the process ended"), "{error}");
    }
}
