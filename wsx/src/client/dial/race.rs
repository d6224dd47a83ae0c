//! Connects to the first of several addresses that answers (RFC 8305, "happy eyeballs"). It does
//! not know names or sockets.
use crate::task::deadline::Deadline;
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    future::{Future, pending},
    io,
    net::SocketAddr,
    time::Duration,
};
use tokio::time::sleep;

/// How long an address has for itself before the next one is tried too, as RFC 8305 section 8
/// recommends.
const DELAY: Duration = Duration::from_millis(250);
/// Maximum number of addresses that one attempt tries. The last of them begins after 1.75 s, so
/// that most of the default deadline of 10 s is left.
const MAX_ADDRESSES: usize = 8;

/// Returns the addresses in the order in which they are tried: the families take turns, and the
/// resolver's first family begins (RFC 8305 section 4).
pub(super) fn order(resolved: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut resolved = resolved.into_iter().peekable();
    let first_family = resolved.peek().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for address in resolved {
        let family = if address.is_ipv6() == first_family { &mut first } else { &mut second };
        // Bounded, because a name server may answer with thousands.
        if family.len() < MAX_ADDRESSES && !family.contains(&address) {
            family.push(address);
        }
    }
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    while first.len() + second.len() > 0 {
        ordered.extend(first.next());
        ordered.extend(second.next());
    }
    ordered.truncate(MAX_ADDRESSES);
    ordered
}

/// Returns the first connection that is made, or the error of each address. The other connections
/// are dropped.
///
/// The next address is tried when the one before has failed, or has had its share of the time.
pub(super) async fn first<S, F>(
    addresses: &[SocketAddr],
    limit: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<S, Vec<(SocketAddr, io::Error)>>
where
    F: Future<Output = io::Result<S>>,
{
    // With a short limit, the last address would otherwise begin after it.
    let delay = DELAY.min(limit / u32::try_from(addresses.len() + 1).unwrap_or(u32::MAX));
    let mut deadline = Deadline::after(limit);
    let mut waiting = addresses.iter();
    let (mut running, mut failed) = (FuturesUnordered::new(), Vec::new());
    loop {
        if let Some(&address) = waiting.next() {
            let connected = connect(address);
            running.push(async move { (address, connected.await) });
        }
        let next = async {
            match waiting.len() {
                0 => pending().await,
                _ => sleep(delay).await,
            }
        };
        tokio::select! {
            biased;
            ended = running.next() => match ended {
                Some((_, Ok(connection))) => return Ok(connection),
                Some((address, Err(error))) => failed.push((address, error)),
                None => return Err(failed),
            },
            () = next => {}
            () = &mut deadline => break,
        }
    }
    for &address in addresses {
        if failed.iter().all(|(other, _)| *other != address) {
            failed.push((address, io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:.1?}"))));
        }
    }
    Err(failed)
}

#[cfg(all(test, not(wsx_model)))]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, sync::Mutex};
    use tokio::time::Instant;

    const LIMIT: Duration = Duration::from_secs(10);

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Row K11: the families take turns, and at most eight addresses are tried.
    #[test]
    fn the_families_take_turns() {
        for (resolved, expected) in [
            (&["[::1]:1", "[::2]:1", "[::1]:1", "1.1.1.1:1"][..], &["[::1]:1", "1.1.1.1:1", "[::2]:1"][..]),
            (&["1.1.1.1:1", "1.1.1.2:1", "[::1]:1"], &["1.1.1.1:1", "[::1]:1", "1.1.1.2:1"]),
            (&["1.1.1.1:1", "1.1.1.2:1"], &["1.1.1.1:1", "1.1.1.2:1"]),
            (&[], &[]),
        ] {
            assert_eq!(order(addresses(resolved)), addresses(expected));
        }
        let many: Vec<SocketAddr> = (0..20).map(|n| SocketAddr::from(([1, 1, 1, n], 1))).collect();
        assert_eq!(order(many.clone()), many[..MAX_ADDRESSES]);
    }

    /// What an address does, and after which time.
    #[derive(Clone, Copy)]
    enum Fate {
        Accepts(u64),
        Refuses(u64),
        IsSilent,
    }
    use Fate::{Accepts, IsSilent, Refuses};

    /// Returns the result, when each address was tried, and when the race ended, in milliseconds.
    async fn race(fates: &[Fate], limit: Duration) -> (Result<usize, Vec<String>>, Vec<u128>, u128) {
        let addresses: Vec<SocketAddr> = (0..fates.len()).map(|n| SocketAddr::from(([1, 1, 1, n as u8], 1))).collect();
        let (start, tried) = (Instant::now(), Mutex::new(BTreeMap::new()));
        let result = first(&addresses, limit, |address| {
            let index = addresses.iter().position(|other| *other == address).unwrap();
            tried.lock().unwrap().insert(index, start.elapsed().as_millis());
            let fate = fates[index];
            async move {
                match fate {
                    Accepts(after) => {
                        sleep(Duration::from_millis(after)).await;
                        Ok(index)
                    }
                    Refuses(after) => {
                        sleep(Duration::from_millis(after)).await;
                        Err(io::Error::from(io::ErrorKind::ConnectionRefused))
                    }
                    IsSilent => pending().await,
                }
            }
        });
        let result = result.await.map_err(|failed| failed.iter().map(|(at, why)| format!("{at} {why}")).collect());
        let tried = tried.into_inner().unwrap().into_values().collect();
        (result, tried, start.elapsed().as_millis())
    }

    /// Row K11: a dead address costs a quarter of a second, and an address that refuses nothing.
    #[tokio::test(start_paused = true)]
    async fn the_next_address_begins_when_the_one_before_is_dead() {
        for (fates, winner, tried, end) in [
            (&[Accepts(1), Accepts(0)][..], 0, &[0][..], 1),
            (&[IsSilent, Accepts(5)], 1, &[0, 250], 255),
            (&[Refuses(7), Accepts(5)], 1, &[0, 7], 12),
            (&[IsSilent, IsSilent, Refuses(10), Accepts(5)], 3, &[0, 250, 500, 510], 515),
            // A slow address still wins if the later ones are dead.
            (&[Accepts(3000), IsSilent, Refuses(10)], 0, &[0, 250, 500], 3000),
            (&[Accepts(300), Accepts(100)], 0, &[0, 250], 300),
            (&[Refuses(300), Accepts(100), IsSilent], 1, &[0, 250, 300], 350),
        ] {
            let race = race(fates, LIMIT).await;
            assert_eq!(race, (Ok(winner), tried.to_vec(), end));
        }
    }

    /// Row K11: each address has its share of a short deadline, and the error names each address.
    #[tokio::test(start_paused = true)]
    async fn every_address_is_tried_before_the_deadline() {
        let (result, tried, _) = race(&[IsSilent, IsSilent, Refuses(0), IsSilent], Duration::from_millis(50)).await;
        assert_eq!(tried, [0, 10, 20, 20]);
        let silent = |n| format!("1.1.1.{n}:1 no answer within 50.0ms");
        assert_eq!(result, Err(vec!["1.1.1.2:1 connection refused".to_owned(), silent(0), silent(1), silent(3)]));
        let (result, ..) = race(&[], LIMIT).await;
        assert_eq!(result, Err(Vec::new()));
    }
}
