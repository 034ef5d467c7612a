//! Trains the dictionary that packed logs are compressed with (`src/archive`), on invented logs in the words of the
//! service: one that was trained on real ones would have somebody's name in it.
//!
//! `programs dictionary --out FILE`. Its file belongs to a version of the packed form: another dictionary is another version.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use ig_tracking::archive::{self, Line};
use ig_tracking::db::journal::NewEvent;
use ig_tracking::db::runs::{Reason, RunState};
use ig_tracking::instagram::{Account, Failure, FailureKind, Shortcode, Unread, Username};
use ig_tracking::scrape::event::Before;
use ig_tracking::scrape::{Event, started};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, RngExt as _, SeedableRng as _};
use serde_json::{Map, Value, json};

use super::Failed;

#[derive(Args)]
pub(crate) struct Settings {
    /// Where to write it
    #[arg(long)]
    out: PathBuf,
    /// Bytes that it has
    #[arg(long, default_value_t = 8_192)]
    bytes: usize,
    /// Logs that it is trained on
    #[arg(long, default_value_t = 6_000)]
    logs: u64,
}

/// Trains and writes it.
pub(crate) async fn train(settings: Settings) -> Result<(), Failed> {
    let samples: Vec<Vec<u8>> = (0..settings.logs).map(|seed| archive::content_of(&log(seed))).collect();
    let dictionary = zstd::dict::from_samples(&samples, settings.bytes)?;
    std::fs::write(&settings.out, &dictionary)?;
    println!("{}", json!({"bytes": dictionary.len(), "logs": samples.len()}));
    Ok(())
}

/// The log of an invented run.
pub(crate) fn log(seed: u64) -> Vec<Line<String>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut log = Log::begin(&mut random);
    log.scrape(&mut random);
    log.lines
}

struct Log {
    lines: Vec<Line<String>>,
    at: DateTime<Utc>,
    username: Username,
    totals: Map<String, Value>,
}

impl Log {
    fn begin(random: &mut StdRng) -> Self {
        let year: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap_or_default();
        let at = year + TimeDelta::microseconds(random.random_range(0..31_536_000_000_000));
        Self { lines: Vec::new(), at, username: username(random), totals: Map::new() }
    }

    /// A row of the log, so many milliseconds after the one before, its fields in the text of `jsonb`.
    fn write(&mut self, random: &mut StdRng, millis: u64, row: NewEvent) {
        let micros = millis * 1000 + random.random_range(0..1000);
        self.at += TimeDelta::microseconds(i64::try_from(micros).unwrap_or_default());
        self.lines.push(Line {
            seq: self.lines.len() as i64 + 1,
            at: self.at.timestamp_micros(),
            level: row.level.number(),
            event_type: row.event_type.to_owned(),
            message: row.message,
            fields: jsonb(&row.fields),
        });
    }

    fn say(&mut self, random: &mut StdRng, millis: u64, event: Event) {
        self.write(random, millis, event.into_row());
    }

    /// A whole scrape, most of them smooth.
    fn scrape(&mut self, random: &mut StdRng) {
        let (kind, trigger) =
            (*["profile", "reel"].choose(random).unwrap_or(&""), *["api", "retry"].choose(random).unwrap_or(&""));
        let queued = random.random_ratio(1, 5);
        let words = if queued { started::QUEUED } else { started::AT_ONCE };
        self.write(
            random,
            0,
            NewEvent {
                level: ig_tracking::db::journal::Level::Info,
                event_type: started::EVENT_TYPE,
                message: words.replace('%', self.username.as_str()),
                fields: json!({"username": self.username, "kind": kind, "trigger": trigger, "queued": queued}),
            },
        );
        if random.random_ratio(1, 12) && !self.trouble(random, "account") {
            return;
        }
        let millis = random.random_range(200..2500);
        let account = account(random, self.username.clone());
        self.totals = object(json!({"followers_count": account.followers, "posts_count": account.posts}));
        self.say(random, millis, Event::AccountFetched { account, duration: Duration::from_millis(millis) });
        let pages = random.random_range(1..=5);
        for page in 1..=pages {
            if random.random_ratio(1, 40) && !self.trouble(random, "posts") {
                return;
            }
            let page_posts = if page == pages { random.random_range(1..=12) } else { 12 };
            let so_far = 12 * (u64::from(page) - 1) + page_posts;
            self.totals.insert("scraped_posts_count".to_owned(), so_far.into());
            let millis = if page == 1 { 0 } else { random.random_range(200..2500) };
            let (totals, duration) = (self.totals.clone(), Duration::from_millis(millis));
            self.say(random, millis, Event::PostsFetched { page, page_posts: page_posts as usize, totals, duration });
        }
        if kind == "reel" {
            self.reels(random);
        }
        if random.random_ratio(1, 30) {
            let codes = (0..random.random_range(1..4)).map(|_| code(random)).collect();
            self.say(random, 3, Event::PostsMissing { codes });
        }
        let (username, totals) = (self.username.to_string(), self.totals.clone());
        self.say(random, 3, Event::ProfileDataUpdated { username: username.clone(), totals: totals.clone() });
        let elapsed_seconds = random.random_range(0.5..60.0);
        self.say(random, 2, Event::ScrapeCompleted { username, elapsed_seconds, totals });
    }

    fn reels(&mut self, random: &mut StdRng) {
        let posts = self.totals.get("scraped_posts_count").and_then(Value::as_u64).unwrap_or_default() as usize;
        let reels = random.random_range(1..=posts.max(1));
        self.say(random, 1, Event::ReelsFiltered { reels, posts });
        for done in (12..reels).step_by(12) {
            let millis = random.random_range(200..2500);
            self.say(random, millis, Event::ProcessingReels { done, total: reels });
        }
        let missing = if random.random_ratio(1, 20) { 1 } else { 0 };
        let missing: Vec<_> = (0..missing).filter_map(|_| Shortcode::parse(&code(random)).ok()).collect();
        self.say(random, 300, Event::ReelsProcessed { done: reels - missing.len(), total: reels, missing });
        self.totals.insert("reels_count".to_owned(), reels.into());
        self.totals.insert("scraped_reels_count".to_owned(), reels.into());
    }

    /// Something goes wrong; whether the run goes on.
    fn trouble(&mut self, random: &mut StdRng, stage: &'static str) -> bool {
        let (failure, reason) = failure(random);
        let totals = self.totals.clone();
        if random.random_ratio(1, 4) {
            let unread = Unread {
                path: "data.user.edge_followed_by.count".to_owned(),
                expected: "a count of zero or more",
                found: "nothing".to_owned(),
                is_loss: true,
            };
            self.say(random, 200, Event::UpstreamChanged { unread });
        }
        let attempt = random.random_range(1..5);
        if matches!(reason, Reason::RateLimited | Reason::UpstreamUnavailable) && attempt < 4 {
            let delay = Duration::from_secs(random.random_range(1..700));
            let resume_at = self.at + delay;
            self.say(
                random,
                300,
                Event::BackingOff { failure, reason, delay, resume_at, attempt, tries: attempt, max_attempts: 5 },
            );
            let wait = delay.as_millis() as u64;
            self.say(random, wait, Event::RunResumed { attempt: attempt + 1, after: Before::Wait, stage, totals });
            return true;
        }
        let state = if stage == "account" { RunState::Failed } else { RunState::Partial };
        let (message, elapsed_seconds) = (failure.to_string(), random.random_range(0.5..90.0));
        let failure = Some(failure);
        self.say(random, 300, Event::ScrapeEnded { state, reason, message, failure, elapsed_seconds, attempt, totals });
        false
    }
}

fn failure(random: &mut StdRng) -> (Failure, Reason) {
    let all = [
        (FailureKind::Throttled, Some(429), "Please wait a few minutes before you try again.", Reason::RateLimited),
        (FailureKind::ServerError, Some(500), "Oops, an error occurred.", Reason::UpstreamUnavailable),
        (FailureKind::TimedOut, None, "no whole answer in 30 s", Reason::UpstreamUnavailable),
        (FailureKind::NotFound, Some(404), "the page is not available", Reason::NotFound),
        (FailureKind::LoginRequired, Some(401), "login_required", Reason::LoginRequired),
        (FailureKind::ChallengeRequired, Some(400), "challenge_required", Reason::ChallengeRequired),
        (FailureKind::Private, Some(200), "This account is private", Reason::Private),
        (FailureKind::UnexpectedShape, Some(200), "the answer is not the shape", Reason::UpstreamChanged),
    ];
    let (kind, status, message, reason) = all[random.random_range(0..all.len())];
    let endpoint =
        *["web_profile_info", "feed", "timeline", "clips_user", "profile_page"].choose(random).unwrap_or(&"feed");
    (Failure { kind, endpoint, status, message: message.to_owned(), retry_after: None }, reason)
}

fn account(random: &mut StdRng, username: Username) -> Account {
    let size = random.random_range(2.0..7.5);
    Account {
        pk: None,
        fbid: None,
        username,
        full_name: None,
        biography: None,
        followers: Some(10f64.powf(size) as i64),
        following: Some(random.random_range(0..3000)),
        posts: Some(random.random_range(1..4000)),
        is_private: Some(false),
        is_verified: Some(random.random_ratio(1, 5)),
        category: None,
        external_url: None,
        external_url_told: true,
        profile_pic_url: None,
    }
}

/// A name that is nobody's: letters by chance, as many as names have.
fn username(random: &mut StdRng) -> Username {
    loop {
        let name = text(random, b"abcdefghijklmnopqrstuvwxyz0123456789._", 4, 16);
        if let Ok(username) = Username::parse(&name) {
            return username;
        }
    }
}

fn code(random: &mut StdRng) -> String {
    text(random, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 11, 12)
}

fn text(random: &mut impl Rng, of: &[u8], shortest: usize, beyond: usize) -> String {
    let length = random.random_range(shortest..beyond);
    (0..length).map(|_| char::from(of[random.random_range(0..of.len())])).collect()
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

/// A value in the text that `jsonb` has: shorter names first, a blank behind colons and commas.
fn jsonb(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(name, _)| (name.len(), name.as_str()));
            let members = members.into_iter().map(|(name, value)| format!("{}: {}", json!(name), jsonb(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(jsonb).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
