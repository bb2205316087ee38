//! What an upstream does for requests, it does for all: each scenario runs over every protocol and every source of
//! endpoints.

mod way;

use way::{Answer, Mode, Speech, WAYS, Way, World};

const PLAIN: [&str; 2] = ["", ""];

/// Runs a scenario once for each way.
async fn each(scenario: impl AsyncFn(Way)) {
    for way in WAYS {
        // What a test that fails shows last.
        println!("{way:?}");
        scenario(way).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_takes_turns() {
    each(async |way| {
        let world = World::start(way, PLAIN, "").await;
        let mut order = Vec::new();
        for _ in 0..4 {
            order.push(world.ask().await.by().to_owned());
        }
        assert_ne!(order[0], order[1]);
        assert_eq!(order[..2], order[2..]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_counts_what_is_in_flight() {
    each(async |way| {
        for policy in ["least_connections", "p2c"] {
            let world = World::start(way, PLAIN, &format!("balance = \"{policy}\"")).await;
            world.all(Mode::Waiting);
            let held = world.begin().await;
            let name = within_either(&world).await;
            let (busy, free) = world.split(name);
            free.now(Mode::Well);
            for count in 1..=3 {
                assert_ne!(world.ask().await.by(), name);
                assert_eq!((busy.seen(), free.seen()), (1, count));
                world.until(free, "in_flight", 0).await;
            }
            busy.now(Mode::Well);
            assert_eq!(held.await.expect("an answer").by(), name);
        }
    })
    .await;
}

/// The name of the member that has got the only request so far.
async fn within_either(world: &World) -> &'static str {
    tokio::select! {
        () = world.a.until_seen(1) => "a",
        () = world.b.until_seen(1) => "b",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_keeps_a_key_at_its_endpoint() {
    each(async |way| {
        let hash =
            "balance = \"hash\"\nhash = \"${request_header.x-key}\"\nhash_load_bound = \"off\"";
        let world = World::start(way, PLAIN, hash).await;
        let place = async |key: &str| world.ask_with("x-key", key).await.by().to_owned();
        for key in ["one", "two", "three"] {
            let home = place(key).await;
            for _ in 0..3 {
                assert_eq!(place(key).await, home);
            }
            let (own, other) = world.split(&home);
            world.administer(own, "disabled").await;
            assert_ne!(place(key).await, home);
            assert!(other.seen() > 0);
            world.administer(own, "enabled").await;
            assert_eq!(place(key).await, home);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_keeps_sessions() {
    each(async |way| {
        let sticky = "sticky = { cookie = \"at\", secret = \"${env:STICKY_SECRET}\" }";
        let world = World::start(way, PLAIN, sticky).await;
        let first = world.ask().await;
        let cookie = first.cookie.clone().expect("a cookie");
        let home = first.by();
        for _ in 0..3 {
            let answer = world.ask_with("cookie", &cookie).await;
            assert_eq!((answer.by(), &answer.cookie), (home, &None));
        }
        let (own, _) = world.split(home);
        world.administer(own, "draining").await;
        let moved = world.ask_with("cookie", &cookie).await;
        assert_ne!(moved.by(), home);
        assert!(moved.cookie.is_some_and(|new| new != cookie));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_has_tiers_zones_and_subsets() {
    each(async |way| {
        for keys in [
            ["", ", tier = 1"],
            [", zone = \"here\"", ", zone = \"there\""],
        ] {
            let world = World::start(way, keys, "").await;
            for _ in 0..3 {
                assert_eq!(world.ask().await.by(), "a");
            }
            world.administer(&world.a, "disabled").await;
            assert_eq!(world.ask().await.by(), "b");
        }
        let keys = [", labels = { v = \"1\" }", ", labels = { v = \"2\" }"];
        let subset = "subset = { label = \"v\", header = \"x-v\" }";
        let world = World::start(way, keys, subset).await;
        for (value, name) in [("1", "a"), ("2", "b"), ("2", "b"), ("1", "a")] {
            assert_eq!(world.ask_with("x-v", value).await.by(), name);
        }
        world.ask_with("x-v", "3").await.check_refused(503, "14");
        world.until_refused("no_subset", 1).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_lets_a_draining_endpoint_finish() {
    each(async |way| {
        let world = World::start(way, PLAIN, "").await;
        world.all(Mode::Waiting);
        let held = world.begin().await;
        let name = within_either(&world).await;
        let (draining, other) = world.split(name);
        world.administer(draining, "draining").await;
        other.now(Mode::Well);
        for _ in 0..3 {
            assert_ne!(world.ask().await.by(), name);
        }
        assert_eq!(world.shown(draining).await["in_flight"], 1);
        draining.now(Mode::Well);
        assert_eq!(held.await.expect("an answer").by(), name);
        assert_eq!(draining.seen(), 1);
    })
    .await;
}

const CHECKED: &str = "health = { path = \"/healthz\", interval = \"20ms\", timeout = \"20s\", unhealthy_after = 1, healthy_after = 1 }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_leaves_out_who_fails_its_checks() {
    each(async |way| {
        let world = World::start(way, PLAIN, CHECKED).await;
        world.a.now(Mode::Failing);
        world.until(&world.a, "state", "unhealthy").await;
        for _ in 0..3 {
            assert_eq!(world.ask().await.by(), "b");
        }
        world.a.now(Mode::Well);
        world.until(&world.a, "state", "up").await;
        let both = [world.ask().await, world.ask().await];
        assert_ne!(both[0].by(), both[1].by());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_ejects_who_fails_its_requests() {
    each(async |way| {
        let outlier = "outlier = { consecutive_failures = 1, ejection_time = \"1h\", max_ejection_time = \"1h\" }\n\
                       retry = { attempts = 1 }";
        for mode in [Mode::Failing, Mode::HangingUp] {
            let world = World::start(way, PLAIN, outlier).await;
            world.a.now(mode);
            let _ = [world.ask().await, world.ask().await];
            world.until(&world.a, "state", "ejected").await;
            for _ in 0..3 {
                assert_eq!(world.ask().await.by(), "b");
            }
            // A reload forgets nothing of it.
            world.reload(&format!("{outlier}\nmax_idle = 7")).await;
            assert_eq!(world.shown(&world.a).await["state"], "ejected");
            assert_eq!(world.ask().await.by(), "b");
            world.a.now(Mode::Well);
            world.administer(&world.a, "enabled").await;
            let both = [world.ask().await, world.ask().await];
            assert_ne!(both[0].by(), both[1].by());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_tries_again_elsewhere() {
    each(async |way| {
        for (mode, conditions) in [
            (Mode::Failing, "status = [503], grpc = [\"unavailable\"]"),
            (
                Mode::HangingUp,
                "on = [\"reset\"], methods = [\"GET\", \"POST\"]",
            ),
        ] {
            let retry = format!("retry = {{ {conditions}, backoff = \"1ms\" }}");
            let world = World::start(way, PLAIN, &retry).await;
            world.a.now(mode);
            for _ in 0..2 {
                assert_eq!(world.ask().await.by(), "b");
            }
            // In turns, so that the first one may have been asked first both times.
            assert!((1..=2).contains(&world.a.seen()));
            assert_eq!(world.b.seen(), 2);
            // What is not listed is passed on.
            world.reload("retry = { attempts = 1 }").await;
            let both = [world.ask().await, world.ask().await];
            let failed = both.iter().filter(|answer| match mode {
                Mode::Failing => answer.is_failed_by_endpoint(),
                _ => !answer.is_well(),
            });
            assert_eq!(failed.count(), 1, "{both:?}");
        }
        // Nobody has seen anything of it, so that every request may go elsewhere.
        let world = World::with_one_that_refuses(way, "").await;
        for _ in 0..2 {
            assert_eq!(world.ask().await.by(), "b");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_protocol_has_a_time_for_each_try() {
    // A second for each: the source of the endpoints makes no difference to it.
    let of = |speech: Speech| WAYS.into_iter().find(|way| way.speech == speech);
    let speeches = [
        Speech::Http2ToHttp1,
        Speech::Http2,
        Speech::Grpc,
        Speech::WebSocket,
    ];
    for way in speeches.into_iter().filter_map(of) {
        let retry = "retry = { on = [\"timeout\"], methods = [\"GET\", \"POST\"], per_try_timeout = \"1s\" }";
        let world = World::start(way, PLAIN, retry).await;
        world.a.now(Mode::Waiting);
        // The first or the second one comes to the one that waits.
        while world.a.seen() == 0 {
            assert_eq!(world.ask().await.by(), "b", "{way:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_gives_up_who_never_answers() {
    each(async |way| {
        let world = World::start(way, PLAIN, "response_timeout = \"50ms\"").await;
        world.all(Mode::Waiting);
        world.ask().await.check_refused(504, "14");
        world.until_refused("upstream_timeout", 1).await;
        world.until_idle().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_has_limits() {
    each(async |way| {
        for (lines, reason) in [
            ("limits = { requests = 1 }", "upstream_overloaded"),
            ("adaptive = { min = 1, max = 1 }", "adaptive_limit"),
        ] {
            let world = World::start(way, PLAIN, lines).await;
            world.all(Mode::Waiting);
            let held = world.begin().await;
            within_either(&world).await;
            world.ask().await.check_refused(503, "14");
            world.until_refused(reason, 1).await;
            world.all(Mode::Well);
            drop(held.await.expect("an answer"));
            world.until_idle().await;
            world.ask().await.by();
        }
        let world = World::start(way, PLAIN, "limits = { endpoint_requests = 1 }").await;
        world.all(Mode::Waiting);
        let held = [world.begin().await, world.begin().await];
        world.a.until_seen(1).await;
        world.b.until_seen(1).await;
        world.ask().await.check_refused(503, "14");
        world.all(Mode::Well);
        for one in held {
            one.await.expect("an answer").by();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_has_a_queue() {
    each(async |way| {
        let queue = "limits = { requests = 1, queue = 1, queue_timeout = \"1h\" }";
        let world = World::start(way, PLAIN, queue).await;
        world.all(Mode::Waiting);
        let first = world.begin().await;
        let name = within_either(&world).await;
        let second = world.begin().await;
        crate::harness::within("one request to wait", async {
            let labels = [("upstream", "app")];
            let family = "portcullis_upstream_requests_waiting";
            while world.gateway.metrics().await.sum(family, &labels) < 0.5 {}
        })
        .await;
        world.ask().await.check_refused(503, "14");
        world.until_refused("queue_full", 1).await;
        world.all(Mode::Well);
        // A tunnel keeps its place as long as it is open.
        let answer: Answer = first.await.expect("an answer");
        assert_eq!(answer.by(), name);
        drop(answer);
        second.await.expect("an answer").by();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_has_a_breaker() {
    each(async |way| {
        let breaker = "breaker = { consecutive_failures = 2, open_for = \"1h\" }\n\
                       retry = { attempts = 1 }";
        let world = World::start(way, PLAIN, breaker).await;
        world.all(Mode::Failing);
        for _ in 0..2 {
            assert!(world.ask().await.is_failed_by_endpoint());
        }
        let refused = world.ask().await;
        refused.check_refused(503, "14");
        world.until_refused("breaker_open", 1).await;
        assert_eq!(world.a.seen() + world.b.seen(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_remembers_over_a_reload() {
    each(async |way| {
        let checked = CHECKED.replace("20ms", "1h");
        let world = World::start(way, PLAIN, &checked).await;
        world.until_idle().await;
        world.b.now(Mode::Waiting);
        world.administer(&world.a, "draining").await;
        let held = world.begin().await;
        world.b.until_seen(1).await;
        let before = [world.shown(&world.a).await, world.shown(&world.b).await];
        world
            .reload(&format!(
                "{checked}\nbalance = \"p2c\"\nlimits = {{ requests = 1 }}"
            ))
            .await;
        let after = [world.shown(&world.a).await, world.shown(&world.b).await];
        for (before, after) in before.iter().zip(&after) {
            for key in ["state", "in_flight", "requests"] {
                assert_eq!(before[key], after[key], "{key}");
            }
        }
        assert_eq!(after[0]["state"], "draining");
        assert_eq!(after[1]["in_flight"], 1);
        world.ask().await.check_refused(503, "14");
        world.until_refused("upstream_overloaded", 1).await;
        world.b.now(Mode::Well);
        assert_eq!(held.await.expect("an answer").by(), "b");
    })
    .await;
}
