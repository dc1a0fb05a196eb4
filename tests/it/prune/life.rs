use serde_json::json;

use super::cellar::{Cellar, PLACES};
use crate::release::{object, put};
use crate::sandbox::client::Expect as _;

const SETTINGS: &str = "[[channels]]\nname = \"stable\"\nkeep = { releases = 1, days = 10 }\n\
    [prune]\nderegister_after_days = 20\nunpromoted_days = 5\n";

/// Two releases in `stable`, one after the other; the first may be deprecated.
fn two() -> (Cellar, String, String) {
    let cellar = Cellar::new(SETTINGS);
    let first = cellar.release(1);
    cellar.promote(&first);
    cellar.days(1);
    let second = cellar.release(2);
    cellar.promote(&second);
    cellar.days(11);
    (cellar, first, second)
}

/// The same, the first deprecated and due.
fn due() -> (Cellar, String, String) {
    let (cellar, first, second) = two();
    cellar.prune(&["--yes"]).done();
    cellar.days(21);
    (cellar, first, second)
}

#[test]
fn a_release_is_deprecated_and_then_deregistered() {
    let cellar = Cellar::new(SETTINGS);
    let first = cellar.release(1);
    cellar.promote(&first);
    cellar.days(1);
    let second = cellar.release(2);
    cellar.promote(&second);
    let said = cellar.prune(&[]).done();
    assert!(said.starts_with("0 of 2 releases are to go\n"), "{said}");
    assert!(
        said.contains(&format!("{first}  left stable, kept until ")),
        "{said}"
    );
    assert!(
        said.contains(&format!("{second}  in stable; the newest\n")),
        "{said}"
    );

    cellar.days(11);
    let ended = cellar.prune(&[]);
    assert_eq!(ended.status, 3, "{}", ended.stderr);
    let regions = PLACES.map(str::to_owned);
    let mut regions = regions.to_vec();
    regions.sort();
    let line = format!("  deprecate  {first}  {}\n", regions.join(", "));
    assert!(ended.stdout.contains(&line), "{}", ended.stdout);
    assert_eq!(cellar.counts(&first), (2, 0, 2));
    let ended = cellar.prune(&["--yes"]);
    assert_eq!(
        (ended.status, ended.stdout.as_str()),
        (0, "done\n"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains(line.trim_end()),
        "the plan is shown: {}",
        ended.stderr
    );
    assert_eq!(cellar.counts(&first), (2, 2, 2));
    assert!(cellar.manifest(&first)["retired"]["deprecated"].is_string());
    let said = cellar.prune(&["--yes"]).done();
    assert_eq!(said, "nothing to do\n");

    cellar.days(21);
    let plan = cellar.plan(3, &[]);
    assert_eq!(plan["releases"][0]["steps"][PLACES[0]]["do"], "deregister");
    assert_eq!(cellar.counts(&first), (2, 2, 2));
    cellar.prune(&["--yes"]).done();
    assert_eq!(cellar.counts(&first), (0, 0, 0));
    assert_eq!(cellar.counts(&second), (2, 0, 2));
    let manifest = cellar.manifest(&first);
    assert!(
        manifest["retired"]["deregistered"].is_string(),
        "{manifest:#}"
    );
    let plan = cellar.plan(0, &[]);
    let left = plan["releases"].as_array().expect("releases");
    assert_eq!(left.len(), 1, "{plan:#}");
    assert_eq!(cellar.plan(0, &["--yes"])["changed"], json!(false));
}

/// What was in the channel before stands on the page, too, as long as it is there.
#[test]
fn the_page_tells_what_is_there_still() {
    let (cellar, first, second) = two();
    let amis = [&first, &second].map(|release| cellar.ami(PLACES[0], release).expect("an AMI"));
    let page = || object(&cellar.house, "catalog/index.html").expect("a page");
    let deprecated = "<strong>This release is deprecated.</strong>";
    let told = || {
        let page = page();
        let has = amis.each_ref().map(|ami| page.contains(ami));
        (has, page.contains(deprecated))
    };
    assert_eq!(told(), ([true, true], false));
    cellar.prune(&["--yes"]).done();
    assert_eq!(told(), ([true, true], true));
    cellar.days(21);
    cellar.prune(&["--yes"]).done();
    assert_eq!(told(), ([false, true], false));
    // Whatever became of the page, the next run sees to it.
    put(&cellar.house, "catalog/index.html", "<html>");
    assert_eq!(cellar.prune(&["--yes"]).done(), "done\n");
    assert_eq!(told(), ([false, true], false));
    assert_eq!(cellar.prune(&["--yes"]).done(), "nothing to do\n");
}

#[test]
fn what_comes_back_into_a_channel_is_shown_again() {
    let (cellar, first, _) = two();
    cellar.prune(&["--yes"]).done();
    assert_eq!(cellar.counts(&first), (2, 2, 2));
    // By whoever brings it back.
    cellar.promote(&first);
    assert_eq!(cellar.counts(&first), (2, 0, 2));
    assert!(cellar.manifest(&first)["retired"].is_null());
    cellar.prune(&[]).done();
}

#[test]
fn what_somebody_uses_stays() {
    let (cellar, first, _) = due();
    let customer = cellar.house.place.customer().in_region(PLACES[1]);
    let ami = cellar.ami(PLACES[1], &first).expect("an AMI");
    cellar.share(PLACES[1], &ami);
    cellar.template(&customer, &ami);
    let said = cellar.prune(&["--yes"]);
    let words = format!("used in {} by account", PLACES[1]);
    assert!(said.stderr.contains(&words), "{}", said.stderr);
    assert!(
        said.stderr.contains("(launch templates: 1)"),
        "{}",
        said.stderr
    );
    assert_eq!((said.status, cellar.counts(&first)), (0, (2, 2, 2)));
    let gone = customer.ec2("DeleteLaunchTemplate", &[("LaunchTemplateName", "nodes")]);
    gone.done("its end");

    // The publisher's own.
    let own = cellar.house.client(PLACES[0]);
    let ami = cellar.ami(PLACES[0], &first).expect("an AMI");
    cellar.template(&own, &ami);
    let plan = cellar.plan(0, &[]);
    let by = &plan["releases"][0]["kept"][0]["by"]["own"];
    assert_eq!(by["kind"], "ec2:LaunchTemplate", "{plan:#}");
    let gone = own.ec2("DeleteLaunchTemplate", &[("LaunchTemplateName", "nodes")]);
    gone.done("its end");
    cellar.prune(&["--yes"]).done();
    assert_eq!(cellar.counts(&first), (0, 0, 0));
}

#[test]
fn what_cannot_be_seen_is_not_deregistered() {
    let (cellar, first, _) = due();
    let denied = json!({"error": {"status": 403, "code": "UnauthorizedOperation"}});
    let rule = json!({"operation": "CreateImageUsageReport", "action": denied});
    cellar.house.place.fault(rule);
    let said = cellar.prune(&[]).done();
    let head = "not seen, so not deregistered unless --despite-unseen is given:\n";
    assert!(said.contains(head), "{said}");
    assert!(said.contains("ec2:CreateImageUsageReport"), "{said}");
    cellar.prune(&["--yes"]).done();
    assert_eq!(cellar.counts(&first), (2, 2, 2));
    cellar.prune(&["--yes", "--despite-unseen"]).done();
    assert_eq!(cellar.counts(&first), (0, 0, 0));
}

#[test]
fn a_region_that_fails_does_not_stop_others() {
    let (cellar, first, _) = two();
    let denied = json!({"error": {"status": 403, "code": "UnauthorizedOperation"}});
    let rule =
        json!({"operation": "EnableImageDeprecation", "region": PLACES[1], "action": denied});
    cellar.house.place.fault(rule);
    let said = cellar.prune(&["--yes"]).failed(1);
    assert!(
        said.contains(&format!(
            "{}, {first}: ec2:EnableImageDeprecation",
            PLACES[1]
        )),
        "{said}"
    );
    assert_eq!(cellar.counts(&first), (2, 1, 2));
    assert!(cellar.manifest(&first)["retired"].is_null());
    cellar.no_faults();

    // One that cannot be read: nothing is deregistered anywhere.
    let rule = json!({"operation": "DescribeImages", "region": PLACES[1], "action": denied});
    cellar.house.place.fault(rule);
    cellar.days(21);
    let said = cellar.prune(&["--yes"]).failed(1);
    assert!(
        said.contains(&format!("{}: ec2:DescribeImages", PLACES[1])),
        "{said}"
    );
    cellar.no_faults();
    assert_eq!(cellar.counts(&first), (2, 1, 2));
    // Then each Region goes on from where it is.
    cellar.prune(&["--yes"]).done();
    assert_eq!(cellar.counts(&first), (1, 1, 1));
    cellar.days(21);
    cellar.prune(&["--yes"]).done();
    assert_eq!(cellar.counts(&first), (0, 0, 0));
}

#[test]
fn bad_input_is_told() {
    let (cellar, first, _) = due();
    let file = cellar.house.folder().join("customers.toml");
    std::fs::write(&file, "[customers.acme]\nacounts = []\n").expect("written");
    let said = cellar.prune(&["--yes"]).failed(2);
    assert!(said.contains("acounts"), "{said}");
    assert_eq!(cellar.counts(&first), (2, 2, 2));
    // A grace that is not over.
    let text = "[customers.acme]\naccounts = [\"222222222222\"]\nchannels = [\"stable\"]\ngrace_days = 90\n";
    std::fs::write(&file, text).expect("written");
    let said = cellar.prune(&["--yes"]);
    assert!(
        said.stderr.contains("acme may keep it until "),
        "{}",
        said.stderr
    );
    assert_eq!((said.status, cellar.counts(&first)), (0, (2, 2, 2)));
}

/// Its AMIs are named in signed papers: the same image under the same id would be other ones.
#[test]
fn what_was_retired_is_published_as_another_release() {
    let (cellar, first, _) = due();
    let published = || cellar.release(1);
    assert_eq!(published(), first, "it is deprecated, and still it");
    cellar.prune(&["--yes"]).done();
    assert_eq!(cellar.counts(&first), (0, 0, 0));
    let said = cellar.house.run(&["publish", &first]).failed(2);
    assert!(said.contains(&format!("{first} was retired")), "{said}");
    let old = cellar.manifest(&first);

    let again = published();
    assert_ne!(again, first);
    assert_eq!(cellar.counts(&again), (2, 0, 2));
    for region in PLACES {
        let ami = cellar.ami(region, &again).expect("an AMI");
        assert_ne!(old["regions"][region]["ami"], ami.as_str());
    }
    assert_eq!(published(), again);
    assert_eq!(cellar.manifest(&first), old);
    assert!(old["retired"]["deregistered"].is_string(), "{old:#}");
    cellar.promote(&again);
}

/// The same where its end was cut off: in one Region it is gone, in the other it is not.
#[test]
fn what_begins_to_end_is_published_as_another_release() {
    let (cellar, first, _) = due();
    let denied = json!({"error": {"status": 403, "code": "UnauthorizedOperation"}});
    let rule = json!({"operation": "DeregisterImage", "region": PLACES[1], "action": denied});
    cellar.house.place.fault(rule);
    cellar.prune(&["--yes"]).failed(1);
    cellar.no_faults();
    assert_eq!(cellar.counts(&first), (1, 1, 1));

    let again = cellar.release(1);
    assert_ne!(again, first);
    assert_eq!(cellar.counts(&again), (2, 0, 2));
    assert_eq!(cellar.counts(&first), (1, 1, 1));
    // Its end goes on.
    cellar.prune(&["--yes"]).done();
    assert_eq!(cellar.counts(&first), (0, 0, 0));
    let retired = &cellar.manifest(&first)["retired"];
    assert!(retired["deregistered"].is_string(), "{retired}");
    assert_eq!(cellar.counts(&again), (2, 0, 2));
}
