//! A child process, which is this program with a hidden command. It knows when to kill it; it does
//! not know what the child does.
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::{env, net::SocketAddr, path::Path};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use wsx::BoxError;

/// What a child has said on its standard output.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Said {
    /// The address on which it listens.
    pub(crate) address: Option<SocketAddr>,
    /// Whether none of its messages waits.
    pub(crate) is_calm: bool,
}

/// A child that runs or does not. It is killed when this is dropped.
pub(crate) struct Child {
    pub(crate) name: String,
    arguments: Vec<String>,
    /// How often it was started. A child numbers its messages in each of its runs.
    runs: u32,
    running: Option<(std::process::Child, JoinHandle<()>)>,
    said: watch::Sender<Said>,
}

impl Child {
    /// Returns one that does not run. Its command gets the directory, the arguments, and the number
    /// of the run.
    pub(crate) fn new(command: &str, name: &str, directory: &Path, argument: String) -> Self {
        let directory = directory.to_string_lossy().into_owned();
        let arguments = vec![command.to_owned(), directory, name.to_owned(), argument];
        Self { name: name.to_owned(), arguments, runs: 0, running: None, said: watch::Sender::default() }
    }

    /// Returns what it says from now on.
    pub(crate) fn said(&self) -> watch::Receiver<Said> {
        self.said.subscribe()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn start(&mut self) -> io::Result<()> {
        self.runs += 1;
        let mut command = Command::new(env::current_exe()?);
        command.args(&self.arguments).arg(self.runs.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        // So that Ctrl-C is for the parent alone.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let said = self.said.clone();
        let listening = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                said.send_modify(|said| match line.parse() {
                    Ok(address) => said.address = Some(address),
                    Err(_) => said.is_calm = true,
                });
            }
        });
        self.running = Some((child, listening));
        Ok(())
    }

    /// Kills it, on Unix with SIGKILL: nothing of it runs any more. Returns whether it ran.
    pub(crate) fn kill(&mut self) -> io::Result<bool> {
        let Some((mut child, listening)) = self.running.take() else { return Ok(false) };
        child.kill()?;
        child.wait()?;
        let _ = listening.join();
        self.said.send_replace(Said::default());
        Ok(true)
    }

    /// Returns an error if it has ended, which it must not do by itself.
    pub(crate) fn check(&mut self) -> Result<(), BoxError> {
        match self.running.as_mut().map(|(child, _)| child.try_wait()).transpose()?.flatten() {
            Some(status) => Err(format!("{} has ended by itself, with {status}", self.name).into()),
            None => Ok(()),
        }
    }

    /// Tells it to send nothing new.
    pub(crate) fn calm(&mut self) -> io::Result<()> {
        let (child, _) = self.running.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        writeln!(child.stdin.as_mut().expect("it is piped"), "calm")
    }

    /// Waits until none of its messages waits.
    pub(crate) async fn calmed(&self, end: Instant) -> Result<(), BoxError> {
        let mut said = self.said();
        let calmed = timeout_at(end, said.wait_for(|said| said.is_calm)).await;
        calmed.map(|_| ()).map_err(|_| format!("messages of {} still wait", self.name).into())
    }

    /// Ends it in order.
    pub(crate) fn end(&mut self) -> Result<(), BoxError> {
        let Some((mut child, _)) = self.running.take() else { return Ok(()) };
        // Closes its standard input, which is the sign.
        drop(child.stdin.take());
        let status = child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("{} has failed, with {status}", self.name).into()) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
