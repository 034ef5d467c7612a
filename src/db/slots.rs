//! The tables `credentials` and `circuits` as requests use them: a slot before each, a word after it.
//!
//! Both are done by functions of the schema, for many requests in one statement. They lock rows in one order, and count
//! on the database's clock alone.

use sqlx::PgExecutor;
use uuid::Uuid;

use super::{RunId, index};

/// What one who asks for a slot is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Whether and when.
    pub verdict: Verdict,
    /// The failure or the word by which the credential cools or was taken out.
    pub reason: Option<String>,
    /// Whether its slots are counted. Where they are not, a `go` holds for a moment and for many.
    pub paced: bool,
    /// Whether something went wrong of late, so that an answer is news.
    pub doubtful: bool,
}

/// Whether a request may go, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// In so many seconds.
    Go(f64),
    /// All slots of the next while are taken; not before so many seconds have passed.
    Busy(f64),
    /// The credential cools, for so many seconds yet.
    Cooling(f64),
    /// The source's circuit is open, for so many seconds yet.
    Open(f64),
    /// One request is on its way to see whether the source answers again; ask again in so many seconds.
    HalfOpen(f64),
    /// Not until an operator puts it back.
    Disabled,
    /// There is no such credential.
    Unknown,
}

/// Takes slots for many requests, each in the order of asking, none further ahead than so many seconds. Beside each
/// name, how many uses of it are to be counted that needed no slot of their own.
pub async fn take_slots(
    db: impl PgExecutor<'_>,
    wanted: &[(&str, i64)],
    ahead: f64,
    slack: f64,
) -> sqlx::Result<Vec<Slot>> {
    let names: Vec<_> = wanted.iter().map(|(name, _)| *name).collect();
    let used: Vec<_> = wanted.iter().map(|(_, used)| *used).collect();
    let rows = sqlx::query!(
        r#"
        select n as "n!", verdict as "verdict!", wait_seconds, reason, paced as "paced!", doubtful as "doubtful!"
        from take_slots($1, $2, $3, $4)
        "#,
        &names as &[&str],
        &used,
        ahead,
        slack,
    )
    .fetch_all(db)
    .await?;
    let unknown = || Slot { verdict: Verdict::Unknown, reason: None, paced: true, doubtful: false };
    let mut slots: Vec<_> = wanted.iter().map(|_| unknown()).collect();
    for row in rows {
        let wait = row.wait_seconds.unwrap_or_default();
        let verdict = match row.verdict.as_str() {
            "go" => Verdict::Go(wait),
            "busy" => Verdict::Busy(wait),
            "cooling" => Verdict::Cooling(wait),
            "open" => Verdict::Open(wait),
            "half_open" => Verdict::HalfOpen(wait),
            "disabled" => Verdict::Disabled,
            _ => Verdict::Unknown,
        };
        slots[index(row.n)] = Slot { verdict, reason: row.reason, paced: row.paced, doubtful: row.doubtful };
    }
    Ok(slots)
}

/// How a request ended, as far as its credential or its source's circuit depends on it.
#[derive(Clone, Debug)]
pub struct Word {
    /// The credential.
    pub name: String,
    /// The run that asked; `None` where a person did.
    pub run: Option<RunId>,
    /// Whether the answer shows that the credential is good.
    pub answered: bool,
    /// What it says of the source.
    pub source: Health,
    /// What it means for the credential.
    pub effect: Effect,
    /// How long it cools, where it does.
    pub cool_seconds: f64,
    /// The failure's name.
    pub failure: Option<&'static str>,
    /// How much of what the source allows is used up, in percent.
    pub usage: Option<f64>,
    /// In how many seconds access is regained.
    pub regained: Option<f64>,
}

/// What a request's end says of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers, whatever it says.
    Answers,
    /// It speaks for an outage.
    Fails,
    /// Nothing: the source was not reached. Where this was the one request that was let through to see, its place is
    /// given back.
    Unknown,
}

impl Health {
    /// Whether it speaks for an outage, as the schema has it.
    fn is_outage(self) -> Option<bool> {
        match self {
            Self::Answers => Some(false),
            Self::Fails => Some(true),
            Self::Unknown => None,
        }
    }
}

/// What a failure means for the credential that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// It cools, for everybody.
    Cool,
    /// It may be a wall or a throttle: two in a row, of two runs, and it cools, and again for each that follows; the
    /// fifth takes a session out.
    Strike,
    /// It is taken out until an operator puts it back.
    Disable,
}

impl Effect {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cool => "cool",
            Self::Strike => "strike",
            Self::Disable => "disable",
        }
    }
}

/// When a source's circuit opens, and for how long at first.
#[derive(Clone, Copy, Debug)]
pub struct Breaker {
    /// So many failures in a row.
    pub failures: i32,
    /// Seconds; twice as long each time that the one request let through fails, up to 15 minutes.
    pub seconds: f64,
}

/// What changed by a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The credential's source.
    pub source: String,
    /// It cools from now on.
    pub cooled: bool,
    /// It was taken out.
    pub disabled: bool,
    /// Its source's circuit was `opened` or `closed`.
    pub circuit: Option<String>,
}

/// Does what follows from how requests ended, one after the other. A word of an unknown credential changes nothing.
pub async fn hear(db: impl PgExecutor<'_>, words: &[Word], breaker: Breaker) -> sqlx::Result<Vec<Change>> {
    let names: Vec<_> = words.iter().map(|word| word.name.as_str()).collect();
    let runs: Vec<_> = words.iter().map(|word| word.run.map(|run| run.0)).collect();
    let answered: Vec<_> = words.iter().map(|word| word.answered).collect();
    let outage: Vec<_> = words.iter().map(|word| word.source.is_outage()).collect();
    let effects: Vec<_> = words.iter().map(|word| word.effect.as_str()).collect();
    let seconds: Vec<_> = words.iter().map(|word| word.cool_seconds).collect();
    let failures: Vec<_> = words.iter().map(|word| word.failure).collect();
    let usage: Vec<_> = words.iter().map(|word| word.usage).collect();
    let regained: Vec<_> = words.iter().map(|word| word.regained).collect();
    let rows = sqlx::query!(
        r#"
        select n as "n!", source as "source!", cooled as "cooled!", disabled as "disabled!", circuit
        from hear_of_credentials($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        "#,
        &names as &[&str],
        &runs as &[Option<Uuid>],
        &answered,
        &outage as &[Option<bool>],
        &effects as &[&str],
        &seconds,
        &failures as &[Option<&str>],
        &usage as &[Option<f64>],
        &regained as &[Option<f64>],
        breaker.failures,
        breaker.seconds,
    )
    .fetch_all(db)
    .await?;
    let mut changes = vec![Change::default(); words.len()];
    for row in rows {
        let (source, cooled, disabled, circuit) = (row.source, row.cooled, row.disabled, row.circuit);
        changes[index(row.n)] = Change { source, cooled, disabled, circuit };
    }
    Ok(changes)
}
