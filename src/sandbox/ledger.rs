//! What the sandbox remembers while it runs: which requests an account saw, the faults and gates set for it, and
//! which number belongs to which name. All of it is bounded; none of it is needed for a right answer.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::instagram::Username;

use super::endpoint::Endpoint;
use super::fault::Rule;
use super::scene::Edits;

/// How many accounts are remembered; beyond it the one that rested longest is forgotten, unless a control stands on it.
pub(super) const MAX_ACCOUNTS: usize = 10_000;
/// How many requests are remembered for one account; the oldest go first.
pub(super) const MAX_REQUESTS: usize = 1_000;
/// How many accounts may have controls at a time.
pub(super) const MAX_CONTROLLED: usize = 1_000;

/// The memory, shared by all requests.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    accounts: HashMap<String, Book>,
    names: HashMap<i64, Username>,
    renames: HashMap<Username, Rename>,
    clock: u64,
}

/// What became of a name.
#[derive(Debug)]
struct Rename {
    to: Username,
    taken: bool,
}

/// Whose a name is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The account's that it brings by itself.
    Own,
    /// The account's that bore this other name.
    Of(Username),
    /// Somebody's who took it after it was given up.
    Anothers,
    /// Nobody's any more.
    Nobodys,
}

/// What is remembered of one account.
#[derive(Debug, Default)]
struct Book {
    touched: u64,
    orders: u64,
    requests: VecDeque<Seen>,
    by_name: Option<Standing>,
    controls: Vec<Standing>,
    gate: Option<Gate>,
    edits: Option<Arc<Edits>>,
}

/// A request as the log tells it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Seen {
    /// Its place among the account's requests, from 1.
    pub(super) order: u64,
    /// The endpoint's name.
    pub(super) endpoint: &'static str,
    /// `GET` or `POST`.
    pub(super) method: &'static str,
    /// The status of the answer; null while it is on its way or held, or if the caller went away.
    pub(super) status: Option<u16>,
    /// The cursor it asked for; null for a first page and where there are no pages.
    pub(super) cursor: Option<String>,
    /// Whether it came with a session.
    pub(super) session: bool,
}

/// A rule and how often it was looked at.
#[derive(Debug)]
pub(super) struct Standing {
    /// The rule.
    pub(super) rule: Rule,
    seen: HashMap<Option<Endpoint>, u64>,
    /// How many answers it spoiled.
    pub(super) fired: u64,
}

impl Standing {
    /// A rule that has met nobody yet.
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, seen: HashMap::new(), fired: 0 }
    }

    /// Counts a request, and says whether the rule meets it.
    fn meets(&mut self, endpoint: Endpoint) -> bool {
        if !self.rule.endpoints.contains(&endpoint) {
            return false;
        }
        let seen = self.seen.entry(self.rule.each.then_some(endpoint)).or_default();
        *seen += 1;
        let place = *seen;
        let last = self.rule.times.map_or(u64::MAX, |times| self.rule.after.saturating_add(times));
        let meets = place > self.rule.after && place <= last;
        self.fired += u64::from(meets);
        meets
    }
}

/// A gate before an account's answers.
#[derive(Debug)]
pub(super) struct Gate {
    /// Which endpoints it stands before.
    pub(super) endpoints: &'static [Endpoint],
    /// How many matching requests pass first.
    pub(super) after: u64,
    /// How many matching requests have come.
    pub(super) seen: u64,
    held: Arc<AtomicU64>,
    open: CancellationToken,
}

impl Gate {
    /// A gate that nobody has reached yet.
    pub(super) fn new(endpoints: &'static [Endpoint], after: u64) -> Self {
        Self { endpoints, after, seen: 0, held: Arc::default(), open: CancellationToken::new() }
    }

    /// How many requests wait before it.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }
}

/// A place before a gate; giving it up, also by going away, is counted.
#[derive(Debug)]
pub(super) struct Held {
    /// Cancelled when the gate opens.
    pub(super) open: CancellationToken,
    count: Arc<AtomicU64>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What an arriving request meets.
#[derive(Debug)]
pub(super) struct Arrival {
    /// Its place among the account's requests.
    pub(super) order: u64,
    /// The rules that meet it.
    pub(super) rules: Vec<Rule>,
    /// The gate that holds it.
    pub(super) held: Option<Held>,
    /// What the account's owner did to its posts.
    pub(super) edits: Arc<Edits>,
}

/// Too many accounts have controls.
#[derive(Debug)]
pub(super) struct Full;

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        // A panic under this lock leaves counts that are at worst one too low: the sandbox goes on.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers which name has this number.
    pub(super) fn introduce(&self, pk: i64, username: &Username) {
        let mut books = self.books();
        if books.names.len() >= 2 * MAX_ACCOUNTS && !books.names.contains_key(&pk) {
            books.names.clear();
        }
        books.names.insert(pk, username.clone());
    }

    /// The name with this number, where it was heard.
    pub(super) fn name_of(&self, pk: i64) -> Option<Username> {
        self.books().names.get(&pk).cloned()
    }

    /// Gives the account that bears a name another one.
    pub(super) fn rename(&self, from: &Username, to: &Username, taken: bool) -> Result<(), Full> {
        let mut books = self.books();
        if books.renames.len() >= MAX_CONTROLLED && !books.renames.contains_key(from) {
            return Err(Full);
        }
        books.renames.insert(from.clone(), Rename { to: to.clone(), taken });
        Ok(())
    }

    /// Whose a name is by now.
    pub(super) fn whose_name(&self, username: &Username) -> Whose {
        let books = self.books();
        let former = books.renames.iter().find(|(_, rename)| rename.to == *username).map(|(from, _)| from.clone());
        match (former, books.renames.get(username)) {
            (Some(former), _) => Whose::Of(former),
            (None, Some(Rename { taken: true, .. })) => Whose::Anothers,
            (None, Some(_)) => Whose::Nobodys,
            (None, None) => Whose::Own,
        }
    }

    /// Sets what an account's owner did to its posts; nothing at all takes it back.
    pub(super) fn edit(&self, name: &str, edits: Option<Edits>) -> Result<(), Full> {
        self.books().open_for_control(name)?.edits = edits.map(Arc::new);
        Ok(())
    }

    /// Writes an arriving request down and tells what it meets.
    pub(super) fn arrive(&self, name: &str, endpoint: Endpoint, cursor: Option<String>, session: bool) -> Arrival {
        let mut books = self.books();
        let book = books.open(name);
        book.orders += 1;
        let order = book.orders;
        if book.requests.len() >= MAX_REQUESTS {
            book.requests.pop_front();
        }
        let (method, endpoint_name) = (endpoint.method(), endpoint.name());
        book.requests.push_back(Seen { order, endpoint: endpoint_name, method, status: None, cursor, session });
        let standing = book.controls.iter_mut().chain(book.by_name.as_mut());
        let rules = standing.filter_map(|standing| standing.meets(endpoint).then_some(standing.rule)).collect();
        let held = book.gate.as_mut().filter(|gate| gate.endpoints.contains(&endpoint)).and_then(|gate| {
            gate.seen += 1;
            (gate.seen > gate.after).then(|| {
                gate.held.fetch_add(1, Ordering::SeqCst);
                Held { open: gate.open.clone(), count: Arc::clone(&gate.held) }
            })
        });
        Arrival { order, rules, held, edits: book.edits.clone().unwrap_or_default() }
    }

    /// Writes down how a request was answered.
    pub(super) fn answered(&self, name: &str, order: u64, status: u16) {
        if let Some(book) = self.books().accounts.get_mut(name)
            && let Some(seen) = book.requests.iter_mut().rev().find(|seen| seen.order == order)
        {
            seen.status = Some(status);
        }
    }

    /// The requests of an account that are still remembered, oldest first, and how many there were in all.
    pub(super) fn requests(&self, name: &str) -> (Vec<Seen>, u64) {
        let books = self.books();
        books
            .accounts
            .get(name)
            .map_or_else(Default::default, |book| (book.requests.iter().cloned().collect(), book.orders))
    }

    /// Sets a fault; it takes the place of one for the same endpoints.
    pub(super) fn set_fault(&self, name: &str, rule: Rule) -> Result<(), Full> {
        let mut books = self.books();
        let book = books.open_for_control(name)?;
        book.controls.retain(|standing| standing.rule.endpoints != rule.endpoints);
        book.controls.push(Standing::new(rule));
        Ok(())
    }

    /// Removes all faults that were set; the one that the name itself brings stays.
    pub(super) fn clear_faults(&self, name: &str) -> usize {
        let mut books = self.books();
        books.accounts.get_mut(name).map_or(0, |book| std::mem::take(&mut book.controls).len())
    }

    /// Reads the faults of an account: those that were set, then the one that its name brings.
    pub(super) fn faults<T>(&self, name: &str, tell: impl Fn(&Standing, bool) -> T) -> Vec<T> {
        let by_name = Rule::of_username(name).map(Standing::new);
        match self.books().accounts.get(name) {
            None => by_name.iter().map(|standing| tell(standing, true)).collect(),
            Some(book) => {
                let set = book.controls.iter().map(|standing| tell(standing, false));
                set.chain(book.by_name.iter().map(|standing| tell(standing, true))).collect()
            }
        }
    }

    /// Sets a gate, and lets go whoever waits before the one that stood there.
    pub(super) fn set_gate(&self, name: &str, gate: Gate) -> Result<(), Full> {
        let mut books = self.books();
        let old = books.open_for_control(name)?.gate.replace(gate);
        drop(books);
        if let Some(old) = old {
            old.open.cancel();
        }
        Ok(())
    }

    /// Removes the gate and lets go whoever waits before it; tells how many did.
    pub(super) fn open_gate(&self, name: &str) -> u64 {
        let gate = self.books().accounts.get_mut(name).and_then(|book| book.gate.take());
        gate.map_or(0, |gate| {
            let held = gate.held();
            gate.open.cancel();
            held
        })
    }

    /// Reads the gate of an account.
    pub(super) fn gate<T>(&self, name: &str, tell: impl Fn(&Gate) -> T) -> Option<T> {
        self.books().accounts.get(name).and_then(|book| book.gate.as_ref().map(tell))
    }
}

impl Books {
    fn open(&mut self, name: &str) -> &mut Book {
        self.clock += 1;
        if !self.accounts.contains_key(name) && self.accounts.len() >= MAX_ACCOUNTS {
            let idle =
                self.accounts.iter().filter(|(_, book)| !book.is_controlled()).min_by_key(|(_, book)| book.touched);
            if let Some(name) = idle.map(|(name, _)| name.clone()) {
                self.accounts.remove(&name);
            }
        }
        let book = self
            .accounts
            .entry(name.to_owned())
            .or_insert_with(|| Book { by_name: Rule::of_username(name).map(Standing::new), ..Book::default() });
        book.touched = self.clock;
        book
    }

    fn open_for_control(&mut self, name: &str) -> Result<&mut Book, Full> {
        let others = self.accounts.iter().filter(|(other, book)| book.is_controlled() && *other != name).count();
        if others >= MAX_CONTROLLED { Err(Full) } else { Ok(self.open(name)) }
    }
}

impl Book {
    fn is_controlled(&self) -> bool {
        self.gate.is_some() || self.edits.is_some() || !self.controls.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::fault;

    #[test]
    fn memory_is_bounded_and_controls_outlast_it() {
        let ledger = Ledger::default();
        let rule = Rule::new(fault::named("broken").unwrap(), None);
        ledger.set_fault("kept", rule).unwrap();
        for n in 0..MAX_ACCOUNTS + 50 {
            ledger.arrive(&format!("user{n}"), Endpoint::Feed, None, false);
        }
        assert_eq!(ledger.books().accounts.len(), MAX_ACCOUNTS);
        assert_eq!(ledger.arrive("kept", Endpoint::Feed, None, false).rules.len(), 1);
        for _ in 0..MAX_REQUESTS + 5 {
            ledger.arrive("busy", Endpoint::Feed, None, false);
        }
        let (requests, total) = ledger.requests("busy");
        assert_eq!((requests.len(), total), (MAX_REQUESTS, MAX_REQUESTS as u64 + 5));
        assert_eq!(requests[0].order, 6, "the oldest are forgotten");
    }

    #[test]
    fn a_fault_lets_some_through_meets_some_and_is_over() {
        let ledger = Ledger::default();
        let rule = Rule { after: 1, times: Some(2), ..Rule::new(fault::named("broken").unwrap(), None) };
        ledger.set_fault("a", rule).unwrap();
        let met: Vec<usize> = (0..5).map(|_| ledger.arrive("a", Endpoint::Feed, None, false).rules.len()).collect();
        assert_eq!(met, [0, 1, 1, 0, 0]);
    }
}
