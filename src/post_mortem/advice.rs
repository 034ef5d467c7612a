//! What each reason means and what to do: the one table of it, in the words of docs/INSTAGRAM.md, which a test compares.

use crate::db::runs::Reason;

/// What a reason means, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub action: &'static str,
}

/// The row of a reason.
pub fn of(reason: Reason) -> Advice {
    let (meaning, action) = match reason {
        Reason::RateLimited => (
            "asked too often; the run waited as long as it was told, again and again or beyond its deadline",
            "ask for fewer runs, or later; nothing is lost",
        ),
        Reason::LoginRequired => (
            "the session is dead, or Instagram shows this to no guest, or a wait and another endpoint did not help",
            "a token: make a new one; a session: sign in with its browser and write the fresh cookie where the old one stands; then restart and put it back (ig-tracking credentials enable NAME). A guest: name a [[token]] in IGT_CREDENTIALS for professional accounts, or set IGT_WEB_COOKIE",
        ),
        Reason::ChallengeRequired => (
            "a person has to prove or accept something",
            "do it in the browser of that session; let the session rest until then",
        ),
        Reason::NotFound => (
            "two endpoints agree that the account is gone, also by its number where a run has read it before; or reels of it are gone",
            "check the handle. An account that was only renamed is followed by itself",
        ),
        Reason::Private => ("the posts are for approved followers", "only a session that follows it can read them"),
        Reason::AgeRestricted => {
            ("for adults only, and not for us; no number is stored", "a session of an adult may see it")
        }
        Reason::GeoBlocked => {
            ("not shown in the country that is asked from", "nothing: it is not shown where this service asks from")
        }
        Reason::UpstreamChanged => (
            "Instagram's answers changed; what could be read is stored",
            "read the events upstream_changed; set IGT_WEB_DOC_IDS where a document is stale; where the failure is user_agent_mismatch, give the session the User-Agent of the cookie's own browser (user_agent in its entry, else IGT_WEB_USER_AGENT) and put it back; else a newer version is needed",
        ),
        Reason::UpstreamUnavailable => (
            "errors of Instagram or of the network that did not pass; a list that led round in a circle or did not go on; a proxy that lets nobody through",
            "ask again later; for certificate_refused and proxy_refused look at the proxy (docs/INSTAGRAM.md, Proxies)",
        ),
        Reason::DeadlineExceeded => ("longer than IGT_RUN_DEADLINE_SECONDS", "ask again, or allow more"),
        Reason::LeaseLost => (
            "its worker died in the last of its attempts",
            "its events tell how the others ended, the log of the service why the worker died",
        ),
        Reason::CancelledByClient => ("somebody cancelled it", "nothing"),
        Reason::InternalError => ("a fault of this program", "see the log of the service, under the run's id"),
    };
    Advice { meaning, action }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_told_in_the_words_of_the_operators_book() {
        let book = include_str!("../../docs/INSTAGRAM.md");
        let (_, table) = book.split_once("## What each reason means").unwrap();
        let rows: Vec<Vec<String>> = table
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.trim_matches('|').split('|').map(|cell| cell.replace('`', "").trim().to_owned()).collect())
            .collect();
        assert_eq!(rows.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            let row = rows.iter().find(|row| row[0] == reason.as_str());
            let row = row.unwrap_or_else(|| panic!("docs/INSTAGRAM.md does not tell {}", reason.as_str()));
            let Advice { meaning, action } = of(reason);
            assert_eq!((row[1].as_str(), row[2].as_str()), (meaning, action), "{}", reason.as_str());
        }
    }
}
