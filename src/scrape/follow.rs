//! An account is followed by Instagram's number of it, whatever it is called by now.
//!
//! A task names a handle. Its first run learns the number; from then on the task is about that account. Where the handle
//! is gone or is another account's, the number leads to the new handle. Histories are never mixed: an account of another
//! number is another row.

use super::{Event, Job};
use crate::db::profiles::Tracked;
use crate::instagram::{Class, Failure, FailureKind, Profile, Username, Visit};

/// Finds the account of a task, and the news of its handle.
pub(super) async fn find(
    job: &Job,
    visit: &mut Visit,
    tracked: Option<Tracked>,
) -> Result<(Profile, Vec<Event>), Failure> {
    let Some(Tracked { instagram_pk: Some(pk), username }) = tracked else {
        return Ok((visit.account(&job.username).await?, Vec::new()));
    };
    let known = Username::parse(&username).unwrap_or_else(|_| job.username.clone());
    match visit.account(&known).await {
        Ok(profile) if is_other(&profile, pk) => match visit.account_by_id(pk, &known).await {
            Ok(reading) if reading.value.username != known => renamed(visit, pk, known, reading.value.username).await,
            // Nobody has the number any more, or what has it bears a handle that shows another: the handle counts,
            // which is what was asked for.
            Ok(_) => Ok(passed_on(profile, pk)),
            Err(failure) if failure.kind == FailureKind::NotFound => Ok(passed_on(profile, pk)),
            Err(failure) => Err(failure),
        },
        Ok(profile) => {
            let to = profile.account.username.clone();
            let news = (to != known).then(|| Event::AccountRenamed { pk, from: known, to });
            Ok((profile, news.into_iter().collect()))
        }
        Err(failure) if failure.kind == FailureKind::NotFound => match visit.account_by_id(pk, &known).await {
            Ok(reading) if reading.value.username != known => renamed(visit, pk, known, reading.value.username).await,
            Ok(_) => {
                let message = format!("{}; but it is there by its number", failure.message);
                Err(Failure { kind: FailureKind::EndpointBroken, message, ..failure })
            }
            // What may pass is worth another try: the account may only have another name.
            Err(by_id) if matches!(by_id.kind.class(), Class::Transient | Class::Throttled) => Err(by_id),
            Err(_) => Err(failure),
        },
        Err(failure) => Err(failure),
    }
}

/// Reads the account under its new handle.
async fn renamed(visit: &mut Visit, pk: i64, from: Username, to: Username) -> Result<(Profile, Vec<Event>), Failure> {
    let profile = visit.account(&to).await?;
    if is_other(&profile, pk) {
        // The handle passed on between two answers. The next try sees how it stands.
        return Err(Failure {
            kind: FailureKind::ServerError,
            endpoint: "profile_by_id",
            status: Some(200),
            message: format!("account {pk} is said to be @{to}, and @{to} is another account"),
            retry_after: None,
        });
    }
    Ok((profile, vec![Event::AccountRenamed { pk, from, to }]))
}

fn passed_on(profile: Profile, pk: i64) -> (Profile, Vec<Event>) {
    let username = profile.account.username.clone();
    let event = Event::UsernameReassigned { username, before: pk, now: profile.account.pk };
    (profile, vec![event])
}

/// Whether it is known to be another account than the one of this number.
fn is_other(profile: &Profile, pk: i64) -> bool {
    profile.account.pk.is_some_and(|other| other != pk)
}
