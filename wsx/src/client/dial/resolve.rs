//! Resolves a host name in a thread of its own. A silent name server then delays neither other work
//! of the runtime nor the end of the program.
//!
//! tokio's own lookup runs in a blocking task. A runtime that is dropped waits for such a task, and
//! a silent name server holds it for a minute.
use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::mpsc,
    thread,
};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// Maximum number of threads that resolve names, in the whole process. Further lookups wait.
///
/// A thread stays until the system's resolver gives up, which it may do long after the attempt of
/// the client has ended. Too low: a name that resolves waits behind names that do not. Too high: a
/// silent name server makes a program with many clients hold many threads.
const MAX_LOOKUPS: usize = 32;

static LOOKUPS: Semaphore = Semaphore::const_new(MAX_LOOKUPS);

/// Returns the addresses of a host, in the order of the system's resolver. An IP address is not
/// looked up.
///
/// # Cancel safety
///
/// Cancel safe. The thread of an abandoned lookup ends when the system's resolver does.
pub(super) async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let host = host.to_owned();
    in_thread(&LOOKUPS, move || Ok((&*host, port).to_socket_addrs()?.collect())).await
}

/// Runs `lookup` in a thread of its own. `places` bounds the number of such threads.
async fn in_thread<T: Send + 'static>(
    places: &'static Semaphore,
    lookup: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let place = places.acquire().await.expect("the semaphore is never closed");
    let (found, answer) = mpsc::channel();
    let abandon = Abandon(found.clone());
    thread::Builder::new().name("wsx-resolve".to_owned()).spawn(move || {
        // The receiver is gone if the lookup was abandoned.
        let _ = found.send(Some(lookup()));
        drop(place);
    })?;
    // A blocking task, because a paused clock of tokio stands still while one runs. Without it, a
    // test with a paused clock would run into its deadlines during a lookup.
    let answer = spawn_blocking(move || answer.recv()).await;
    drop(abandon);
    match answer {
        Ok(Ok(Some(found))) => found,
        _ => Err(io::Error::other("the lookup of the name was interrupted")),
    }
}

/// Ends the blocking task of a lookup when its future is dropped. A runtime drops its futures
/// before it waits for its blocking tasks.
struct Abandon<T>(mpsc::Sender<Option<io::Result<T>>>);

impl<T> Drop for Abandon<T> {
    fn drop(&mut self) {
        let _ = self.0.send(None);
    }
}

#[cfg(all(test, not(wsx_model)))]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::runtime;

    /// Longer than a test waits for the end of a runtime, and as long as a test runs.
    const SILENCE: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn an_address_is_not_looked_up() {
        for (host, shown) in [("127.0.0.2", "127.0.0.2:80"), ("::1", "[::1]:80")] {
            assert_eq!(addresses(host, 80).await.unwrap(), [shown.parse().unwrap()]);
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_up() {
        let found = addresses("localhost", 80).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80), "{found:?}");
        assert!(!found.is_empty());
        // The resolver rejects this name without a name server.
        addresses("a..b", 80).await.unwrap_err();
    }

    /// Row K11: a runtime ends while the name server is silent, whatever its kind.
    #[test]
    fn a_silent_name_server_does_not_keep_a_runtime() {
        static PLACES: Semaphore = Semaphore::const_new(4);
        for kind in [runtime::Builder::new_current_thread, runtime::Builder::new_multi_thread] {
            let (ended, end) = mpsc::channel();
            let runtime = kind().enable_all().build().unwrap();
            thread::spawn(move || {
                runtime.block_on(async {
                    let (asked, question) = tokio::sync::oneshot::channel();
                    tokio::spawn(in_thread(&PLACES, move || {
                        asked.send(()).unwrap();
                        thread::sleep(SILENCE);
                        Ok(())
                    }));
                    question.await.unwrap();
                });
                drop(runtime);
                ended.send(()).unwrap();
            });
            end.recv_timeout(Duration::from_secs(20)).expect("the runtime ends");
        }
    }

    /// Row K11: the number of threads is bounded, also for lookups that were abandoned.
    #[tokio::test]
    async fn lookups_are_bounded() {
        static PLACES: Semaphore = Semaphore::const_new(1);
        let (release, released) = mpsc::channel::<()>();
        let (asked, question) = tokio::sync::oneshot::channel();
        let first = tokio::spawn(in_thread(&PLACES, move || {
            asked.send(()).unwrap();
            let _ = released.recv();
            Ok(())
        }));
        question.await.unwrap();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(PLACES.available_permits(), 0);
        drop(release);
        in_thread(&PLACES, || Ok(())).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_stands_still_during_a_lookup() {
        static PLACES: Semaphore = Semaphore::const_new(1);
        let slow = in_thread(&PLACES, || {
            thread::sleep(Duration::from_millis(50));
            Ok(())
        });
        tokio::time::timeout(Duration::from_secs(10), slow).await.expect("the clock stood still").unwrap();
    }
}
