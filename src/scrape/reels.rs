//! The reels among the posts, and each reel's own numbers.
//!
//! The list of reels tells the numbers of a dozen at once, joined to the posts on their codes; what it does not
//! hold is asked for one by one.

use super::{Checkpoint, Event, Findings, Halt, Interruption, Ledger, Shortfall, Step};
use crate::db::media::NewNumbers;
use crate::db::runs::Reason;
use crate::instagram::{FailureKind, Shortcode, Visit};

/// The list of reels may begin with others than those of the latest posts (pinned ones, say); so many pages more
/// than the wanted reels would fill are read before the rest is asked for one by one.
const SPARE_PAGES: u32 = 2;

/// How many reels a page of the list holds.
const PAGE_SIZE: u32 = 12;

/// Filters the reels from the posts and reads their own numbers, from where the checkpoint says. A shortfall is
/// returned where some are not to be had.
pub(super) async fn process(
    visit: &mut Visit,
    ledger: &mut impl Ledger,
    checkpoint: &mut Checkpoint,
) -> Result<Option<Shortfall>, Interruption> {
    if !checkpoint.reels_filtered {
        checkpoint.reels_filtered = true;
        let event = Event::ReelsFiltered { reels: checkpoint.reels.len(), posts: checkpoint.posts.codes.len() };
        tell(visit, ledger, checkpoint, vec![event], Vec::new()).await?;
    }
    read_list(visit, ledger, checkpoint).await?;
    read_one_by_one(visit, ledger, checkpoint).await?;
    if !checkpoint.reels_processed {
        checkpoint.reels_processed = true;
        let event = Event::ReelsProcessed {
            done: checkpoint.reel_numbers.codes.len(),
            total: checkpoint.reels.len(),
            missing: checkpoint.reels_missing.clone(),
        };
        tell(visit, ledger, checkpoint, vec![event], Vec::new()).await?;
    }
    let missing = checkpoint.reels_missing.len();
    let total = checkpoint.reels.len();
    let (reason, message) = if checkpoint.reels_not_offered {
        let message = format!(
            "{missing} of {total} reels are not in the list, and this source cannot be asked for one; the source `web` can"
        );
        (Reason::UpstreamUnavailable, message)
    } else {
        (
            Reason::NotFound,
            format!(
                "{missing} of {total} reels could not be found any more; there is nothing to do where they were deleted, and \
             else scrape again later"
            ),
        )
    };
    Ok((missing > 0).then_some(Shortfall { reason, message }))
}

async fn read_list(
    visit: &mut Visit,
    ledger: &mut impl Ledger,
    checkpoint: &mut Checkpoint,
) -> Result<(), Interruption> {
    let Some(account) = checkpoint.account.clone() else { return Ok(()) };
    let enough = u32::try_from(checkpoint.reels.len()).unwrap_or(u32::MAX).div_ceil(PAGE_SIZE) + SPARE_PAGES;
    while !outstanding(checkpoint).is_empty()
        && !checkpoint.reel_numbers.done
        && checkpoint.reel_numbers.pages < enough + checkpoint.reel_numbers.restarted_after.unwrap_or(0)
    {
        if checkpoint.reel_numbers.next.as_ref().is_some_and(|next| !visit.knows(next)) {
            checkpoint.reel_numbers.begin_anew();
        }
        let page = match visit.reels(&account.reference(), checkpoint.reel_numbers.next.as_ref()).await {
            Ok(page) => page,
            Err(failure) if failure.kind == FailureKind::CursorRefused && checkpoint.reel_numbers.restart() => {
                let known = checkpoint.reel_numbers.codes.len();
                tell(
                    visit,
                    ledger,
                    checkpoint,
                    vec![Event::ListRestarted { list: "reels", known, failure }],
                    Vec::new(),
                )
                .await?;
                continue;
            }
            // What the list does not tell is asked for one by one.
            Err(failure) if failure.kind == FailureKind::CursorRefused => {
                checkpoint.reel_numbers.done = true;
                break;
            }
            Err(failure) => return Err(failure.into()),
        };
        let wanted = outstanding(checkpoint);
        let found: Vec<_> = page.items.into_iter().filter(|reel| wanted.contains(&reel.code)).collect();
        let fresh = checkpoint.reel_numbers.advance(found.iter().map(|reel| reel.code.clone()), page.next);
        let numbers = found.iter().filter(|reel| fresh.contains(&reel.code)).map(NewNumbers::from).collect();
        let mut events = checkpoint.drift.note(page.unread);
        events.push(progress(checkpoint));
        tell(visit, ledger, checkpoint, events, numbers).await?;
    }
    Ok(())
}

async fn read_one_by_one(
    visit: &mut Visit,
    ledger: &mut impl Ledger,
    checkpoint: &mut Checkpoint,
) -> Result<(), Interruption> {
    for code in outstanding(checkpoint) {
        let mut numbers = Vec::new();
        let mut events = Vec::new();
        match visit.post(&code).await {
            Ok(reading) => {
                events = checkpoint.drift.note(reading.unread);
                numbers.push(NewNumbers::from(&reading.value));
                checkpoint.reel_numbers.codes.push(code);
            }
            Err(failure) if failure.kind == FailureKind::NotFound => checkpoint.reels_missing.push(code),
            Err(failure) if failure.kind == FailureKind::NotOffered => {
                checkpoint.reels_not_offered = true;
                checkpoint.reels_missing.push(code);
            }
            Err(failure) => return Err(failure.into()),
        }
        events.push(progress(checkpoint));
        tell(visit, ledger, checkpoint, events, numbers).await?;
    }
    Ok(())
}

/// The reels that neither have their numbers yet nor are known to be gone.
fn outstanding(checkpoint: &Checkpoint) -> Vec<Shortcode> {
    let settled =
        |code: &&Shortcode| checkpoint.reel_numbers.codes.contains(code) || checkpoint.reels_missing.contains(code);
    checkpoint.reels.iter().filter(|code| !settled(code)).cloned().collect()
}

fn progress(checkpoint: &Checkpoint) -> Event {
    let done = checkpoint.reel_numbers.codes.len() + checkpoint.reels_missing.len();
    Event::ProcessingReels { done, total: checkpoint.reels.len() }
}

async fn tell(
    visit: &mut Visit,
    ledger: &mut impl Ledger,
    checkpoint: &Checkpoint,
    events: Vec<Event>,
    numbers: Vec<NewNumbers>,
) -> Result<(), Halt> {
    let findings = Findings { numbers, ..Findings::default() };
    ledger.write(Step { events, exchanges: visit.take_exchanges(), checkpoint: checkpoint.clone(), findings }).await
}
