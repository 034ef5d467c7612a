//! The first step and the last: the account is read; the account is up to date.

use super::checkpoint::AccountRead;
use super::{Checkpoint, Event, Findings, Halt, Interruption, Job, Ledger, Step, follow, scan};
use crate::instagram::{Page, Post, Visit};

/// Reads the account, unless an earlier attempt has, and gives the first posts where its answer carried them.
pub(super) async fn fetch(
    job: &Job,
    visit: &mut Visit,
    ledger: &mut impl Ledger,
    checkpoint: &mut Checkpoint,
) -> Result<Option<Page<Post>>, Interruption> {
    if checkpoint.account.is_some() {
        return Ok(None);
    }
    let tracked = ledger.tracked().await?;
    let (profile, news) = follow::find(job, visit, tracked).await?;
    checkpoint.account = Some(AccountRead::from(&profile.account));
    let exchanges = visit.take_exchanges();
    let mut events = checkpoint.drift.note(profile.unread);
    events.extend(news);
    events.push(Event::AccountFetched { account: profile.account.clone(), duration: exchanges_took(&exchanges) });
    let findings = Findings { profile: Some((&profile.account).into()), ..Findings::default() };
    ledger.write(Step { events, exchanges, checkpoint: checkpoint.clone(), findings }).await?;
    Ok(profile.first_posts)
}

/// Tells that all that was read is stored, and what the scan shows of posts that it did not read, where it is whole.
pub(super) async fn updated(
    job: &Job,
    visit: &mut Visit,
    ledger: &mut impl Ledger,
    checkpoint: &mut Checkpoint,
    is_whole: bool,
) -> Result<(), Halt> {
    let (mut events, findings) =
        if is_whole { scan::conclude(job, ledger, checkpoint).await? } else { (Vec::new(), Findings::default()) };
    let username = checkpoint.account.as_ref().map_or(&job.username, |account| &account.username).to_string();
    events.push(Event::ProfileDataUpdated { username, totals: checkpoint.totals() });
    ledger.write(Step { events, exchanges: visit.take_exchanges(), checkpoint: checkpoint.clone(), findings }).await
}

/// How long a step's requests took together.
pub(super) fn exchanges_took(exchanges: &[crate::instagram::Exchange]) -> std::time::Duration {
    exchanges.iter().map(|exchange| exchange.duration).sum()
}
