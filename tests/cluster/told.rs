//! A process that is told what to do line by line, and answers in lines. It does not know wsx.
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

/// The reason why a campaign ends.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A process with its input and its output. It is killed when this is dropped.
#[derive(Debug)]
pub struct Told {
    process: Child,
    input: ChildStdin,
    answers: Receiver<String>,
    /// How long an answer may take.
    patience: Duration,
}

impl Told {
    /// Starts a process. `patience` is how long each of its answers may take.
    ///
    /// # Errors
    ///
    /// The process does not start.
    pub fn start(command: &mut Command, patience: Duration) -> Result<Self, Failure> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = process.stdin.take().ok_or("the process does not have an input")?;
        let output = process.stdout.take().ok_or("the process does not have an output")?;
        let (answer, answers) = channel();
        // It ends with the output of the process.
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| answer.send(line))
        });
        Ok(Self { process, input, answers, patience })
    }

    /// Returns the number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Writes a line.
    ///
    /// # Errors
    ///
    /// The process has ended.
    pub fn tell(&mut self, line: &str) -> Result<(), Failure> {
        Ok(writeln!(self.input, "{line}")?)
    }

    /// Waits for the next line.
    ///
    /// # Errors
    ///
    /// The process has ended, or does not answer in time.
    pub fn answer(&mut self) -> Result<String, Failure> {
        self.answers.recv_timeout(self.patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("a process did not answer within {:?}", self.patience).into(),
            RecvTimeoutError::Disconnected => "a process has ended; its own words are above".into(),
        })
    }

    /// Writes a line, and waits for the answer.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer).
    pub fn ask(&mut self, line: &str) -> Result<String, Failure> {
        self.tell(line)?;
        self.answer()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
