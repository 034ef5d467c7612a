//! The client over real HTTP, against a small server that plays Instagram's answers.

mod accounts;
mod failures;
mod gates;
mod lists;
mod properties;
mod site;

use super::*;

#[test]
fn every_future_can_move_between_threads() {
    fn send<T: Send>(_: T) {}
    let _check = |mut visit: Visit, name: Username, account: AccountRef, code: Shortcode| {
        send(visit.account(&name));
        send(visit.posts(&account, None));
        send(visit.reels(&account, None));
        send(visit.post(&code));
    };
}
