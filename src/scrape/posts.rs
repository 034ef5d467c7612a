//! The latest posts, page by page; each page with its event and checkpoint is one transaction.

use super::account::exchanges_took;
use super::{Checkpoint, Event, Findings, Halt, Interruption, Job, Ledger, Shortfall, Step, scan};
use crate::db::media::NewMedia;
use crate::db::runs::Reason;
use crate::instagram::{FailureKind, Page, Post, Source, Username, Visit};

/// Reads pages of posts from where the checkpoint says, until enough are read or none are left. A shortfall is
/// returned where the account says that it has posts and shows none.
pub(super) async fn fetch(
    job: &Job,
    visit: &mut Visit,
    ledger: &mut impl Ledger,
    checkpoint: &mut Checkpoint,
    mut first_posts: Option<Page<Post>>,
) -> Result<Option<Shortfall>, Interruption> {
    let Some(account) = checkpoint.account.clone() else { return Ok(None) };
    // A session may be one of its followers, which only its posts tell.
    if account.is_private && !visit.has_session() {
        return Ok(Some(private(&account.username)));
    }
    scan::begin(job, ledger, checkpoint).await?;
    while !checkpoint.posts.done {
        if checkpoint.posts.next.as_ref().is_some_and(|next| !visit.knows(next)) {
            checkpoint.posts.begin_anew();
        }
        let page = match first_posts.take() {
            Some(page) => page,
            None => match visit.posts(&account.reference(), checkpoint.posts.next.as_ref()).await {
                Ok(page) => page,
                Err(failure) if failure.kind == FailureKind::CursorRefused && checkpoint.posts.restart() => {
                    let known = checkpoint.posts.codes.len();
                    let event = Event::ListRestarted { list: "posts", known, failure };
                    let (exchanges, findings) = (visit.take_exchanges(), Findings::default());
                    let step = Step { events: vec![event], exchanges, checkpoint: checkpoint.clone(), findings };
                    ledger.write(step).await?;
                    continue;
                }
                Err(failure) => return Err(failure.into()),
            },
        };
        store(job, visit, ledger, checkpoint, page).await?;
    }
    if !checkpoint.posts.codes.is_empty() {
        return Ok(None);
    }
    if account.is_private {
        return Ok(Some(private(&account.username)));
    }
    let claimed = account.posts_count.filter(|count| *count > 0);
    let to_whom = match (visit.source(), visit.has_session()) {
        (Source::Graph, _) => "to this token",
        (Source::Web, true) => "to this session",
        (Source::Web, false) => "without a signed-in session",
    };
    Ok(claimed.map(|count| Shortfall {
        reason: Reason::LoginRequired,
        message: format!("@{} has {count} posts and Instagram shows none of them {to_whom}", account.username),
    }))
}

fn private(username: &Username) -> Shortfall {
    let message = format!("@{username} is private: its posts are for approved followers only");
    Shortfall { reason: Reason::Private, message }
}

/// What is missing where the list of posts led round in a circle before its end.
pub(super) fn cut_short(checkpoint: &Checkpoint) -> Option<Shortfall> {
    let told = checkpoint.account.as_ref().and_then(|account| account.posts_count);
    let obtained = i64::try_from(checkpoint.posts.codes.len()).unwrap_or(i64::MAX);
    let is_short = checkpoint.posts.circled && told.is_none_or(|told| obtained < told);
    is_short.then(|| {
        let told = told.map_or_else(|| "an unknown number".to_owned(), |told| told.to_string());
        Shortfall {
            reason: Reason::UpstreamUnavailable,
            message: format!(
                "Instagram's list of posts led round in a circle after {obtained} of {told}; scrape again later"
            ),
        }
    })
}

async fn store(
    job: &Job,
    visit: &mut Visit,
    ledger: &mut impl Ledger,
    checkpoint: &mut Checkpoint,
    page: Page<Post>,
) -> Result<(), Halt> {
    let room = job.max_posts.saturating_sub(checkpoint.posts.codes.len());
    let known = &checkpoint.posts.codes;
    let posts: Vec<&Post> = page.items.iter().filter(|post| !known.contains(&post.code)).take(room).collect();
    let fresh = checkpoint.posts.advance(posts.iter().map(|post| post.code.clone()), page.next);
    checkpoint.scan.take_in(posts.iter().copied());
    if checkpoint.posts.codes.len() >= job.max_posts {
        checkpoint.posts.done = true;
        checkpoint.posts.circled = false;
    } else if !checkpoint.posts.done && checkpoint.scan.stops(checkpoint.posts.codes.len(), job.refreshed_posts) {
        checkpoint.posts.done = true;
    } else if fresh.is_empty() && !checkpoint.posts.done && !checkpoint.posts.repeats() {
        // A page without a single new post leads nowhere, whatever cursor it gives.
        checkpoint.posts.done = true;
        checkpoint.posts.circled = true;
    }
    checkpoint.reels.extend(posts.iter().filter(|post| post.is_reel == Some(true)).map(|post| post.code.clone()));

    let exchanges = visit.take_exchanges();
    // The official source does not say which posts are pinned.
    let pins_told = visit.source() == Source::Web;
    let mut events = checkpoint.drift.note(page.unread);
    events.push(Event::PostsFetched {
        page: checkpoint.posts.pages,
        page_posts: posts.len(),
        totals: checkpoint.totals(),
        duration: exchanges_took(&exchanges),
    });
    let findings = Findings {
        media: posts.iter().map(|post| media_of(post, pins_told)).collect(),
        numbers: posts.iter().map(|post| (*post).into()).collect(),
        ..Findings::default()
    };
    ledger.write(Step { events, exchanges, checkpoint: checkpoint.clone(), findings }).await
}

fn media_of(post: &Post, pins_told: bool) -> NewMedia {
    let media = NewMedia::from(post);
    let is_pinned = media.is_pinned.filter(|_| pins_told);
    NewMedia { is_pinned, ..media }
}
