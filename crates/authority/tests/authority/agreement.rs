//! The agreement of card and authority, on the authority's side.

use std::time::Duration;

use authority_link::message::Failure;
use authority_link::{Answer, Confirmation, IssueState, Request};
use jpki::CertificateKind::{self, Authentication, Signature};

use crate::fixtures::{Counter, Issued, World, next_generation};

fn world() -> World {
    World::new(&next_generation())
}

fn accept(issued: &Issued) -> Request {
    Request::Confirm(Confirmation::by_sha256(issued.sha256))
}

fn reject(issued: &Issued) -> Request {
    Request::Confirm(Confirmation::by_sha256(issued.sha256).rejecting(Failure::BadCertTemplate))
}

fn confirmed(world: &World, counter: &Counter, kind: CertificateKind, after: Option<&Issued>) -> Issued {
    let issued = world.issue(counter, kind, after.map(|issued| &issued.name));
    assert_eq!(world.ask(counter, accept(&issued), issued.transaction), Answer::Confirmed);
    issued
}

fn refusal(answer: &Answer) -> Failure {
    match answer {
        Answer::Refused { failure, .. } => failure.iter().next().expect("a reason"),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_same_bytes_get_the_same_answer_for_as_long_as_the_record_lives() {
    let world = world();
    let [one, two] = &world.counters[..] else { unreachable!() };
    let old = confirmed(&world, one, Signature, None);
    let transaction = world.transaction();
    let request = world.certification(one, Signature, &world.card_key(), Some(&old.name));
    let ir = one.protect(request, transaction, world.random(), world.now());
    let ip = world.deliver(one, ir.bytes());
    let Answer::Issued { certificate, nonce, .. } = world.open(&ir, &ip) else { panic!("not issued") };
    let new = Issued::new(transaction, &certificate, nonce);
    let confirmation = Confirmation::by_sha256(new.sha256).answering(new.nonce.as_ref().unwrap()).unwrap();
    let conf = one.protect(Request::Confirm(confirmation), transaction, world.random(), world.now());
    let pkiconf = world.deliver(one, conf.bytes());
    let rr = one.protect(Request::Supersede(old.name), world.transaction(), world.random(), world.now());
    let rp = world.deliver(one, rr.bytes());

    // Months later, after the message times have become absurd and the certificate was replaced again.
    world.clock.advance(Duration::from_secs(200 * 86_400));
    let newest = world.issue(one, Signature, Some(&new.name));
    assert_eq!(world.ask(one, accept(&newest), newest.transaction), Answer::Confirmed);
    assert_eq!(world.ask(one, Request::Supersede(new.name.clone()), world.transaction()), Answer::Revoked);
    for (request, answer) in [(&rr, &rp), (&conf, &pkiconf), (&ir, &ip), (&ir, &ip)] {
        assert_eq!(world.deliver(one, request.bytes()), *answer);
    }
    assert_eq!(world.state(one, new.sha256), IssueState::Superseded);

    // The answer holds personal data: it goes to nobody else, whoever got hold of the request.
    let sent_by_another = world.deliver(two, ir.bytes());
    assert_eq!(refusal(&world.open(&ir, &sent_by_another)), Failure::NotAuthorized);
}

#[test]
fn the_same_id_with_other_bytes_is_refused() {
    let world = world();
    let [one, two] = &world.counters[..] else { unreachable!() };
    let issued = confirmed(&world, one, Authentication, None);
    for counter in [one, two] {
        let again = world.certification(counter, Authentication, &world.card_key(), None);
        assert_eq!(refusal(&world.ask(counter, again, issued.transaction)), Failure::TransactionIdInUse);
        let rr = Request::Supersede(issued.name.clone());
        assert_eq!(refusal(&world.ask(counter, rr, issued.transaction)), Failure::TransactionIdInUse);
    }
    assert_eq!(world.state(one, issued.sha256), IssueState::Valid);
}

#[test]
fn the_first_decision_wins() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Act {
        Accept,
        Reject,
        Expire,
    }
    let world = world();
    let [one, two] = &world.counters[..] else { unreachable!() };
    for first in [Act::Accept, Act::Reject, Act::Expire] {
        for second in [Act::Accept, Act::Reject, Act::Expire] {
            let issued = world.issue(one, Authentication, None);
            let act = |act, counter| match act {
                Act::Accept => Some(world.ask(counter, accept(&issued), issued.transaction)),
                Act::Reject => Some(world.ask(counter, reject(&issued), issued.transaction)),
                Act::Expire => {
                    world.clock.advance(Duration::from_secs(3_600));
                    world.authority.expire_unconfirmed(world.now()).unwrap();
                    None
                }
            };
            let answer = act(first, one);
            assert!(answer.is_none_or(|answer| answer == Answer::Confirmed), "{first:?}");
            let answer = act(second, two);
            let expected = if first == Act::Accept { IssueState::Valid } else { IssueState::Revoked };
            assert_eq!(world.state(two, issued.sha256), expected, "{first:?} {second:?}");
            match (first, second) {
                (_, Act::Expire) => {}
                (Act::Accept, Act::Accept) | (Act::Reject | Act::Expire, Act::Reject) => {
                    assert_eq!(answer, Some(Answer::Confirmed));
                }
                (Act::Accept, Act::Reject) => assert_eq!(refusal(&answer.unwrap()), Failure::CertConfirmed),
                (Act::Reject | Act::Expire, Act::Accept) => {
                    assert_eq!(refusal(&answer.unwrap()), Failure::CertRevoked);
                }
            }
        }
    }
}

#[test]
fn a_certificate_is_confirmed_at_any_terminal_that_names_transaction_and_hash() {
    let world = world();
    let [one, two] = &world.counters[..] else { unreachable!() };
    let issued = world.issue(one, Signature, None);
    let other = world.issue(one, Signature, None);
    // The right transaction with another certificate's hash, and the other way round.
    assert_eq!(refusal(&world.ask(two, accept(&other), issued.transaction)), Failure::BadCertId);
    assert_eq!(refusal(&world.ask(two, accept(&issued), world.transaction())), Failure::BadRequest);
    assert_eq!(world.state(two, issued.sha256), IssueState::Issued);
    assert_eq!(world.ask(two, accept(&issued), issued.transaction), Answer::Confirmed);
    // The first terminal goes on with its stale idea, and hears the same.
    let confirmation = Confirmation::by_sha256(issued.sha256).answering(issued.nonce.as_ref().unwrap()).unwrap();
    assert_eq!(world.ask(one, Request::Confirm(confirmation), issued.transaction), Answer::Confirmed);
    assert_eq!(world.state(one, issued.sha256), IssueState::Valid);
    // A nonce that is not the message's is no answer to it.
    let confirmation = Confirmation::by_sha256(other.sha256).answering(&[7; 16]).unwrap();
    let answer = world.ask(one, Request::Confirm(confirmation), other.transaction);
    assert_eq!(refusal(&answer), Failure::BadRecipientNonce);
}

#[test]
fn an_unconfirmed_certificate_blocks_nothing_and_expires() {
    let world = world();
    let one = &world.counters[0];
    let old = confirmed(&world, one, Signature, None);
    let forgotten = world.issue(one, Signature, Some(&old.name));
    world.clock.advance(Duration::from_secs(1_800));
    let new = world.issue(one, Signature, Some(&old.name));
    world.clock.advance(Duration::from_secs(1_800));
    let expired = world.authority.expire_unconfirmed(world.now()).unwrap();
    assert_eq!(expired.iter().map(|issue| issue.sha256).collect::<Vec<_>>(), [forgotten.sha256]);
    assert_eq!(world.authority.expire_unconfirmed(world.now()).unwrap(), []);
    assert_eq!(world.ask(one, accept(&new), new.transaction), Answer::Confirmed);
    assert_eq!(world.state(one, old.sha256), IssueState::Valid);
}

#[test]
fn only_a_valid_successor_supersedes_and_only_the_one_it_names() {
    let world = world();
    let [one, two] = &world.counters[..] else { unreachable!() };
    let bystander = confirmed(&world, one, Signature, None);
    let old = confirmed(&world, one, Signature, None);
    let supersede =
        |counter, issued: &Issued| world.ask(counter, Request::Supersede(issued.name.clone()), world.transaction());
    assert_eq!(refusal(&supersede(one, &old)), Failure::BadRequest, "no successor");
    let new = world.issue(one, Signature, Some(&old.name));
    assert_eq!(refusal(&supersede(one, &old)), Failure::BadRequest, "unconfirmed successor");
    assert_eq!(refusal(&supersede(one, &new)), Failure::BadRequest, "not valid yet");
    assert_eq!(world.ask(one, accept(&new), new.transaction), Answer::Confirmed);
    // Confirming has superseded nothing.
    assert_eq!(world.state(one, old.sha256), IssueState::Valid);
    assert_eq!(refusal(&supersede(one, &bystander)), Failure::BadRequest, "nobody's predecessor");

    // Until then the case is listed, with what is to be done.
    let unsettled = |counter| match world.ask(counter, Request::Unsettled, world.transaction()) {
        Answer::Unsettled(cases) => cases,
        other => panic!("{other:?}"),
    };
    let cases = unsettled(two);
    assert_eq!(cases.len(), 1);
    assert_eq!((cases[0].sha256, &cases[0].predecessor), (new.sha256, &old.name));

    assert_eq!(supersede(two, &old), Answer::Revoked);
    assert_eq!(supersede(one, &old), Answer::Revoked, "asked again");
    assert_eq!(unsettled(one), []);
    for (issued, state) in [(&bystander, IssueState::Valid), (&old, IssueState::Superseded), (&new, IssueState::Valid)]
    {
        assert_eq!(world.state(one, issued.sha256), state);
    }
}

#[test]
fn recovery_learns_everything_from_the_certificates_hash() {
    let world = world();
    let [one, two] = &world.counters[..] else { unreachable!() };
    let old = confirmed(&world, one, Authentication, None);
    let new = world.issue(one, Authentication, Some(&old.name));
    let Answer::State(told) = world.ask(two, Request::StateOf(new.sha256), world.transaction()) else { panic!() };
    assert_eq!(told.state, IssueState::Issued);
    let issue = told.issue.clone().unwrap();
    assert_eq!((issue.kind, issue.transaction, issue.certificate), (Authentication, new.transaction, new.name));
    assert_eq!(told.predecessor_to_supersede(), Some(old.name));
    assert_eq!(world.state(two, [0; 32]), IssueState::Unknown);
}
