//! A child process, which is this program with a hidden command. It ends when its standard input
//! ends, so it does not outlive its parent. This does not know what the child does.
use crate::cluster::words::Word;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{self, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::{env, time::Duration};
use tokio::time::{Instant, sleep};
use wsx::BoxError;

/// Time in which a child must end in order.
const END: Duration = Duration::from_secs(10);
/// The same, after a failure.
const QUICK: Duration = Duration::from_secs(3);
/// Time between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A child that runs. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    process: process::Child,
    /// Ends with the standard output of the child.
    listening: Option<JoinHandle<()>>,
}

impl Child {
    /// Starts this program with these arguments. `hear` gets what the child says.
    pub(crate) fn start(name: &str, arguments: &[&str], hear: impl Fn(Word) + Send + 'static) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        // So that Ctrl-C is for the parent alone.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut process = command.spawn()?;
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let listening = thread::spawn(move || {
            // The last line of one that was killed may be a part.
            let words = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
            words.for_each(hear);
        });
        Ok(Self { name: name.to_owned(), process, listening: Some(listening) })
    }

    /// Says a line to it.
    pub(crate) fn tell(&mut self, line: &str) -> io::Result<()> {
        let stdin = self.process.stdin.as_mut().expect("it is piped");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush())
    }

    /// Returns an error if it has ended, which it must not do by itself.
    pub(crate) fn check(&mut self) -> Result<(), BoxError> {
        match self.process.try_wait()? {
            Some(status) => Err(format!("{} has ended by itself, with {status}", self.name).into()),
            None => Ok(()),
        }
    }

    /// Kills it, on Unix with SIGKILL: nothing of it runs any more. What it has said was heard.
    pub(crate) fn kill(mut self) -> io::Result<()> {
        self.stop().map(drop)
    }

    /// Ends it in order.
    pub(crate) async fn end(mut self) -> Result<(), BoxError> {
        // Closes its standard input, which is the sign.
        drop(self.process.stdin.take());
        let deadline = Instant::now() + END;
        while self.process.try_wait()?.is_none() {
            if Instant::now() > deadline {
                self.stop()?;
                return Err(format!("{} did not end within {END:?}, and was killed", self.name).into());
            }
            sleep(LOOK).await;
        }
        let status = self.stop()?;
        if status.success() { Ok(()) } else { Err(format!("{} has failed, with {status}", self.name).into()) }
    }

    fn stop(&mut self) -> io::Result<ExitStatus> {
        // It may have ended.
        let _ = self.process.kill();
        let status = self.process.wait()?;
        let _ = self.listening.take().map(JoinHandle::join);
        Ok(status)
    }
}

/// Ends it in order if that is quick, so that it does not leave a process of its own behind.
impl Drop for Child {
    fn drop(&mut self) {
        if self.listening.is_none() {
            return;
        }
        drop(self.process.stdin.take());
        let deadline = Instant::now() + QUICK;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        let _ = self.stop();
    }
}
