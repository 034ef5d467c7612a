//! How often: requests with a key, and keys that are wrong. Each replica counts for itself.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::{NoOpMiddleware, StateInformationMiddleware};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use quick_cache::sync::Cache;

/// The time over which a key's requests are counted: so many seconds' worth may come at once.
pub const WINDOW_SECONDS: u32 = 10;

/// So many addresses are remembered for their wrong keys; beyond them the ones that were seen least are forgotten.
const ADDRESSES: usize = 4096;

/// How many requests a key may make.
pub(super) struct KeyLimit<C: Clock = DefaultClock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>,
    clock: C,
    rate: NonZeroU32,
}

/// Where a key stands with its requests, this one counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Whether this one is taken; if not, the seconds after which the next is.
    pub wait_seconds: Option<u32>,
    /// How many may come in the window.
    pub quota: u32,
    /// How many may still come at once.
    pub remaining: u32,
    /// Seconds until all of the quota may come at once again.
    pub reset_seconds: u32,
}

impl KeyLimit {
    /// So many requests a second, on average over the window.
    pub(super) fn new(rate: NonZeroU32) -> Self {
        Self::by(rate, DefaultClock::default())
    }
}

impl<C: Clock + Clone> KeyLimit<C> {
    fn by(rate: NonZeroU32, clock: C) -> Self {
        let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(WINDOW_SECONDS - 1));
        let quota = Quota::per_second(rate).allow_burst(burst);
        Self { limiter: RateLimiter::direct_with_clock(quota, clock.clone()).with_middleware(), clock, rate }
    }

    /// How many a second.
    pub(super) fn rate(&self) -> NonZeroU32 {
        self.rate
    }

    /// Counts a request.
    pub(super) fn count(&self) -> Allowance {
        let quota = self.rate.get().saturating_mul(WINDOW_SECONDS);
        let reset = |remaining: u32| (quota - remaining.min(quota)).div_ceil(self.rate.get());
        match self.limiter.check() {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                Allowance { wait_seconds: None, quota, remaining, reset_seconds: reset(remaining) }
            }
            Err(refused) => {
                let wait = whole_seconds(refused.wait_time_from(self.clock.now()));
                Allowance { wait_seconds: Some(wait), quota, remaining: 0, reset_seconds: reset(0) }
            }
        }
    }
}

/// How often an address may show what is wrong. Whoever shows a right key is not kept waiting by others of the same address.
pub struct Attempts {
    of_addresses: Cache<IpAddr, Arc<RateLimiter<NotKeyed, InMemoryState, DefaultClock, NoOpMiddleware>>>,
    quota: Quota,
    clock: DefaultClock,
}

impl Attempts {
    /// So many a minute.
    pub fn a_minute(attempts: NonZeroU32) -> Self {
        Self { of_addresses: Cache::new(ADDRESSES), quota: Quota::per_minute(attempts), clock: DefaultClock::default() }
    }

    /// Counts one that failed; beyond the limit, the seconds after which the next is heard.
    pub fn failed(&self, address: IpAddr) -> Result<(), u32> {
        let limiter = self.of_addresses.get_or_insert_with(&network(address), || {
            Ok::<_, std::convert::Infallible>(Arc::new(RateLimiter::direct(self.quota)))
        });
        let Ok(limiter) = limiter;
        limiter.check().map_err(|refused| whole_seconds(refused.wait_time_from(self.clock.now())))
    }
}

/// Whom an address belongs to: of version 6, a whole network of 64 bits is one customer's.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// Rounded up, and at least one.
fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn ten_seconds_worth_may_come_at_once_and_then_so_many_a_second() {
        let clock = FakeRelativeClock::default();
        let limit = KeyLimit::by(NonZeroU32::new(2).unwrap(), clock.clone());
        for n in 0..20 {
            let allowance = limit.count();
            let expected =
                Allowance { wait_seconds: None, quota: 20, remaining: 19 - n, reset_seconds: (n + 1).div_ceil(2) };
            assert_eq!(allowance, expected);
        }
        let refused = Allowance { wait_seconds: Some(1), quota: 20, remaining: 0, reset_seconds: 10 };
        assert_eq!(limit.count(), refused);
        clock.advance(Duration::from_millis(500));
        assert_eq!((limit.count().wait_seconds, limit.count().wait_seconds), (None, Some(1)));
        clock.advance(Duration::from_secs(3600));
        assert_eq!(limit.count().remaining, 19);
    }

    #[test]
    fn wrong_keys_are_counted_by_address_and_of_version_6_by_network() {
        let attempts = Attempts::a_minute(NonZeroU32::new(2).unwrap());
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!((attempts.failed(one), attempts.failed(one)), (Ok(()), Ok(())));
        assert!((1..=30).contains(&attempts.failed(one).unwrap_err()));
        assert!(attempts.failed("::ffff:192.0.2.1".parse().unwrap()).is_err());
        assert_eq!(attempts.failed(other), Ok(()));
        for last in 1..=2 {
            assert_eq!(attempts.failed(format!("2001:db8::{last}").parse().unwrap()), Ok(()));
        }
        assert!(attempts.failed("2001:db8::ffff:3".parse().unwrap()).is_err());
        assert_eq!(attempts.failed("2001:db8:0:1::1".parse().unwrap()), Ok(()));
    }

    #[test]
    fn many_addresses_cost_no_more_memory_than_some() {
        let attempts = Attempts::a_minute(NonZeroU32::MIN);
        for n in 0..50_000_u32 {
            let _ = attempts.failed(std::net::Ipv4Addr::from(n).into());
        }
        assert!(attempts.of_addresses.len() <= ADDRESSES, "{}", attempts.of_addresses.len());
    }
}
