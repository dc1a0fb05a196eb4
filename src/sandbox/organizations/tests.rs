use std::time::Duration;

use serde_json::{Value, json};

use super::membership;
use crate::sandbox::error::ServiceError;
use crate::sandbox::service::Service;
use crate::sandbox::testing::Bed;

fn ask(bed: &Bed, account: &str, operation: &str, body: Value) -> Result<Value, ServiceError> {
    bed.json(
        Service::Organizations,
        account,
        "us-east-1",
        operation,
        body,
    )
}

fn call(bed: &Bed, account: &str, operation: &str, body: Value) -> Value {
    ask(bed, account, operation, body).expect(operation)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// An organization of the publisher's: the bed, its root and a unit.
fn organization() -> (Bed, String, String) {
    let bed = Bed::new();
    call(&bed, "publisher", "CreateOrganization", json!({}));
    let root = text(&call(&bed, "publisher", "ListRoots", json!({}))["Roots"][0]["Id"]);
    let unit = unit(&bed, &root, "Build");
    (bed, root, unit)
}

fn unit(bed: &Bed, parent: &str, name: &str) -> String {
    let body = json!({"ParentId": parent, "Name": name});
    let answer = call(bed, "publisher", "CreateOrganizationalUnit", body);
    text(&answer["OrganizationalUnit"]["Id"])
}

fn invite(bed: &Bed) -> String {
    let body = json!({"Target": {"Type": "ACCOUNT", "Id": "222222222222"}, "Notes": "come in"});
    let answer = call(bed, "publisher", "InviteAccountToOrganization", body);
    text(&answer["Handshake"]["Id"])
}

fn join(bed: &Bed) {
    let handshake = invite(bed);
    let answer = call(
        bed,
        "customer",
        "AcceptHandshake",
        json!({"HandshakeId": handshake}),
    );
    assert_eq!(answer["Handshake"]["State"], "ACCEPTED");
}

/// Calls that are wrong, with AWS's code and reason for that.
fn refused(bed: &Bed, cases: &[(&str, &str, Value, &str)]) {
    for (account, operation, body, expected) in cases {
        let error = ask(bed, account, operation, body.clone()).expect_err(operation);
        let reason = error.members.iter().find(|(name, _)| *name == "Reason");
        let code = match reason {
            Some((_, reason)) => format!("{}/{reason}", error.code),
            None => error.code.to_string(),
        };
        assert_eq!(code, *expected, "{account} {operation} {body}");
    }
}

#[test]
fn an_invited_account_is_in() {
    let (bed, root, unit) = organization();
    let member = |bed: &Bed| {
        let id = bed.caller("customer").account;
        bed.shared.read(|world| membership(world, &id))
    };
    assert_eq!(member(&bed), None);
    join(&bed);
    let found = member(&bed).expect("a member");
    assert_eq!(found.path, format!("{}/{root}/", found.organization_id));
    assert!(found.unit_arns.is_empty());
    assert_eq!(found.management_account.as_str(), "111111111111");

    let inner = self::unit(&bed, &unit, "Inner");
    let body = json!({
        "AccountId": "222222222222", "SourceParentId": root, "DestinationParentId": inner,
    });
    assert_eq!(call(&bed, "publisher", "MoveAccount", body), Value::Null);
    let found = member(&bed).expect("a member");
    let id = &found.organization_id;
    assert_eq!(found.path, format!("{id}/{root}/{unit}/{inner}/"));
    let arn = |unit: &str| format!("arn:aws:organizations::111111111111:ou/{id}/{unit}");
    assert_eq!(found.unit_arns, [arn(&inner), arn(&unit)]);
    assert_eq!(
        found.organization_arn,
        format!("arn:aws:organizations::111111111111:organization/{id}")
    );

    let account = call(
        &bed,
        "publisher",
        "DescribeAccount",
        json!({"AccountId": "222222222222"}),
    );
    assert_eq!(account["Account"]["Name"], "customer");
    assert_eq!(account["Account"]["JoinedMethod"], "INVITED");
    assert_eq!(
        account["Account"]["Paths"][0],
        format!("{}222222222222/", found.path)
    );
    call(&bed, "customer", "LeaveOrganization", json!({}));
    assert_eq!(member(&bed), None);
}

#[test]
fn who_is_where() {
    let (bed, root, unit) = organization();
    join(&bed);
    let inner = self::unit(&bed, &unit, "Inner");
    for (operation, body, list, expected) in [
        (
            "ListAccounts",
            json!({}),
            "Accounts",
            vec!["111111111111", "222222222222"],
        ),
        (
            "ListAccountsForParent",
            json!({"ParentId": root}),
            "Accounts",
            vec!["111111111111", "222222222222"],
        ),
        (
            "ListAccountsForParent",
            json!({"ParentId": unit}),
            "Accounts",
            vec![],
        ),
        (
            "ListOrganizationalUnitsForParent",
            json!({"ParentId": root}),
            "OrganizationalUnits",
            vec![&unit],
        ),
        (
            "ListOrganizationalUnitsForParent",
            json!({"ParentId": unit}),
            "OrganizationalUnits",
            vec![&inner],
        ),
        (
            "ListParents",
            json!({"ChildId": "222222222222"}),
            "Parents",
            vec![&root],
        ),
        (
            "ListParents",
            json!({"ChildId": inner}),
            "Parents",
            vec![&unit],
        ),
        (
            "ListChildren",
            json!({"ParentId": root, "ChildType": "ACCOUNT"}),
            "Children",
            vec!["111111111111", "222222222222"],
        ),
        (
            "ListChildren",
            json!({"ParentId": root, "ChildType": "ORGANIZATIONAL_UNIT"}),
            "Children",
            vec![&unit],
        ),
    ] {
        let answer = call(&bed, "publisher", operation, body.clone());
        let found: Vec<&str> = answer[list]
            .as_array()
            .expect("a list")
            .iter()
            .map(|item| item["Id"].as_str().expect("an id"))
            .collect();
        assert_eq!(found, expected, "{operation} {body}");
    }
    let answer = call(&bed, "publisher", "ListAccounts", json!({"MaxResults": 1}));
    assert_eq!(answer["Accounts"][0]["Id"], "111111111111");
    let body = json!({"MaxResults": 1, "NextToken": answer["NextToken"]});
    let answer = call(&bed, "publisher", "ListAccounts", body);
    assert_eq!(answer["Accounts"][0]["Id"], "222222222222");
    assert!(answer.get("NextToken").is_none());
    let described = call(&bed, "customer", "DescribeOrganization", json!({}));
    assert_eq!(described["Organization"]["MasterAccountId"], "111111111111");
}

#[test]
fn without_an_organization() {
    let bed = Bed::new();
    let none = "AWSOrganizationsNotInUseException";
    for operation in [
        "DescribeOrganization",
        "DeleteOrganization",
        "ListRoots",
        "ListAccounts",
        "ListHandshakesForOrganization",
        "ListCreateAccountStatus",
        "LeaveOrganization",
    ] {
        refused(&bed, &[("publisher", operation, json!({}), none)]);
    }
    let answer = call(&bed, "publisher", "ListHandshakesForAccount", json!({}));
    assert_eq!(answer["Handshakes"], json!([]));
    refused(
        &bed,
        &[
            (
                "publisher",
                "MakeCoffee",
                json!({}),
                "UnknownOperationException",
            ),
            (
                "publisher",
                "CreateOrganization",
                json!({"Tea": 1}),
                "SerializationException",
            ),
            (
                "publisher",
                "CreateOrganization",
                json!({"FeatureSet": "SOME"}),
                "InvalidInputException/INVALID_ENUM",
            ),
        ],
    );
}

#[test]
fn only_the_management_account_administers() {
    let (bed, root, unit) = organization();
    join(&bed);
    let denied = "AccessDeniedException";
    let account = json!({"AccountId": "222222222222"});
    let cases: Vec<(&str, &str, Value, &str)> = [
        ("DeleteOrganization", json!({})),
        ("ListRoots", json!({})),
        ("CreateOrganizationalUnit", json!({"ParentId": root, "Name": "x"})),
        ("UpdateOrganizationalUnit", json!({"OrganizationalUnitId": unit, "Name": "x"})),
        ("DescribeOrganizationalUnit", json!({"OrganizationalUnitId": unit})),
        ("DeleteOrganizationalUnit", json!({"OrganizationalUnitId": unit})),
        ("ListOrganizationalUnitsForParent", json!({"ParentId": root})),
        ("ListParents", json!({"ChildId": unit})),
        ("ListChildren", json!({"ParentId": root, "ChildType": "ACCOUNT"})),
        ("InviteAccountToOrganization", json!({"Target": {"Type": "ACCOUNT", "Id": "222222222222"}})),
        ("ListHandshakesForOrganization", json!({})),
        ("CreateAccount", json!({"Email": "a@example.com", "AccountName": "a"})),
        ("ListCreateAccountStatus", json!({})),
        ("ListAccounts", json!({})),
        ("ListAccountsForParent", json!({"ParentId": root})),
        ("DescribeAccount", account.clone()),
        ("RemoveAccountFromOrganization", account),
        (
            "MoveAccount",
            json!({"AccountId": "222222222222", "SourceParentId": root, "DestinationParentId": unit}),
        ),
    ]
    .map(|(operation, body)| ("customer", operation, body, denied))
    .to_vec();
    refused(&bed, &cases);
}

#[test]
fn rules_of_units() {
    let (bed, root, unit) = organization();
    let mut deep = unit.clone();
    for level in 2..=5 {
        deep = self::unit(&bed, &deep, &format!("level {level}"));
    }
    let long = "x".repeat(129);
    let ghost = format!("ou-{}-00000000", &root[2..]);
    let create = "CreateOrganizationalUnit";
    let of = |id: &str| json!({"OrganizationalUnitId": id});
    refused(
        &bed,
        &[
            (
                "publisher",
                create,
                json!({"Name": "x"}),
                "InvalidInputException/INPUT_REQUIRED",
            ),
            (
                "publisher",
                create,
                json!({"ParentId": root}),
                "InvalidInputException/INPUT_REQUIRED",
            ),
            (
                "publisher",
                create,
                json!({"ParentId": "x", "Name": "x"}),
                "InvalidInputException/INVALID_PATTERN",
            ),
            (
                "publisher",
                create,
                json!({"ParentId": root, "Name": long}),
                "InvalidInputException/MAX_LENGTH_EXCEEDED",
            ),
            (
                "publisher",
                create,
                json!({"ParentId": "r-0000", "Name": "x"}),
                "ParentNotFoundException",
            ),
            (
                "publisher",
                create,
                json!({"ParentId": ghost, "Name": "x"}),
                "ParentNotFoundException",
            ),
            (
                "publisher",
                create,
                json!({"ParentId": root, "Name": "Build"}),
                "DuplicateOrganizationalUnitException",
            ),
            (
                "publisher",
                create,
                json!({"ParentId": deep, "Name": "x"}),
                "ConstraintViolationException/OU_DEPTH_LIMIT_EXCEEDED",
            ),
            (
                "publisher",
                create,
                json!({"ParentId": root, "Name": "x", "Tags": [{"Key": "a", "Value": "b"}]}),
                "UnsupportedAPIEndpointException",
            ),
            (
                "publisher",
                "DescribeOrganizationalUnit",
                of(&ghost),
                "OrganizationalUnitNotFoundException",
            ),
            (
                "publisher",
                "DescribeOrganizationalUnit",
                of("ou"),
                "InvalidInputException/INVALID_PATTERN",
            ),
            (
                "publisher",
                "DeleteOrganizationalUnit",
                of(&unit),
                "OrganizationalUnitNotEmptyException",
            ),
            (
                "publisher",
                "ListParents",
                json!({"ChildId": ghost}),
                "ChildNotFoundException",
            ),
            (
                "publisher",
                "ListParents",
                json!({"ChildId": "222222222222"}),
                "ChildNotFoundException",
            ),
            (
                "publisher",
                "ListChildren",
                json!({"ParentId": root, "ChildType": "ROOT"}),
                "InvalidInputException/INVALID_ENUM",
            ),
            (
                "publisher",
                "ListAccountsForParent",
                json!({"ParentId": ghost}),
                "ParentNotFoundException",
            ),
            (
                "publisher",
                "ListAccounts",
                json!({"MaxResults": 0}),
                "InvalidInputException/MIN_VALUE_EXCEEDED",
            ),
            (
                "publisher",
                "ListAccounts",
                json!({"MaxResults": 21}),
                "InvalidInputException/MAX_VALUE_EXCEEDED",
            ),
            (
                "publisher",
                "ListAccounts",
                json!({"NextToken": "x"}),
                "InvalidInputException/INVALID_NEXT_TOKEN",
            ),
        ],
    );
    let renamed = json!({"OrganizationalUnitId": unit, "Name": "Release"});
    let answer = call(&bed, "publisher", "UpdateOrganizationalUnit", renamed);
    assert_eq!(answer["OrganizationalUnit"]["Name"], "Release");
    call(&bed, "publisher", "DeleteOrganizationalUnit", of(&deep));
}

#[test]
fn rules_of_moves_and_leaves() {
    let (bed, root, unit) = organization();
    join(&bed);
    let ghost = format!("ou-{}-00000000", &root[2..]);
    let movement = |account: &str, source: &str, destination: &str| json!({"AccountId": account, "SourceParentId": source, "DestinationParentId": destination});
    let account = |id: &str| json!({"AccountId": id});
    let customer = "222222222222";
    refused(
        &bed,
        &[
            (
                "publisher",
                "MoveAccount",
                movement("333333333333", &root, &unit),
                "AccountNotFoundException",
            ),
            (
                "publisher",
                "MoveAccount",
                movement(customer, &ghost, &unit),
                "SourceParentNotFoundException",
            ),
            (
                "publisher",
                "MoveAccount",
                movement(customer, &unit, &ghost),
                "DestinationParentNotFoundException",
            ),
            (
                "publisher",
                "MoveAccount",
                movement(customer, &unit, &root),
                "DuplicateAccountException",
            ),
            (
                "publisher",
                "MoveAccount",
                movement("2", &root, &unit),
                "InvalidInputException/INVALID_PATTERN",
            ),
            (
                "publisher",
                "DescribeAccount",
                account("333333333333"),
                "AccountNotFoundException",
            ),
            (
                "publisher",
                "LeaveOrganization",
                json!({}),
                "MasterCannotLeaveOrganizationException",
            ),
            (
                "publisher",
                "RemoveAccountFromOrganization",
                account("111111111111"),
                "MasterCannotLeaveOrganizationException",
            ),
            (
                "publisher",
                "RemoveAccountFromOrganization",
                account("333333333333"),
                "AccountNotFoundException",
            ),
            (
                "publisher",
                "DeleteOrganization",
                json!({}),
                "OrganizationNotEmptyException",
            ),
            (
                "customer",
                "CreateOrganization",
                json!({}),
                "AlreadyInOrganizationException",
            ),
        ],
    );
    call(
        &bed,
        "publisher",
        "MoveAccount",
        movement(customer, &root, &unit),
    );
    refused(
        &bed,
        &[(
            "publisher",
            "MoveAccount",
            movement(customer, &root, &ghost),
            "DestinationParentNotFoundException",
        )],
    );
    call(
        &bed,
        "publisher",
        "RemoveAccountFromOrganization",
        account(customer),
    );
    call(&bed, "publisher", "DeleteOrganization", json!({}));
    refused(
        &bed,
        &[(
            "publisher",
            "DescribeOrganization",
            json!({}),
            "AWSOrganizationsNotInUseException",
        )],
    );
    call(
        &bed,
        "publisher",
        "CreateOrganization",
        json!({"FeatureSet": "CONSOLIDATED_BILLING"}),
    );
}

#[test]
fn rules_of_invitations() {
    let (bed, _, _) = organization();
    let target = |kind: &str, id: &str| json!({"Target": {"Type": kind, "Id": id}});
    let invitation = "InviteAccountToOrganization";
    let unknown = "HandshakeConstraintViolationException/TARGET_ACCOUNT_VALIDATION_FAILURE";
    refused(
        &bed,
        &[
            (
                "publisher",
                invitation,
                json!({}),
                "InvalidInputException/INPUT_REQUIRED",
            ),
            (
                "publisher",
                invitation,
                target("ACCOUNT", "2"),
                "InvalidInputException/INVALID_PATTERN",
            ),
            (
                "publisher",
                invitation,
                target("PLANET", "2"),
                "InvalidInputException/INVALID_ENUM",
            ),
            (
                "publisher",
                invitation,
                target("ORGANIZATION", "o-x"),
                "InvalidInputException/INVALID_PARTY_TYPE_TARGET",
            ),
            (
                "publisher",
                invitation,
                target("EMAIL", "x"),
                "InvalidInputException/INVALID_EMAIL_ADDRESS_TARGET",
            ),
            (
                "publisher",
                invitation,
                target("EMAIL", "nobody@example.com"),
                unknown,
            ),
            (
                "publisher",
                invitation,
                target("ACCOUNT", "333333333333"),
                unknown,
            ),
            (
                "publisher",
                invitation,
                target("ACCOUNT", "111111111111"),
                "HandshakeConstraintViolationException/ALREADY_IN_AN_ORGANIZATION",
            ),
        ],
    );
    let id = invite(&bed);
    let of = |id: &str| json!({"HandshakeId": id});
    refused(
        &bed,
        &[
            (
                "publisher",
                invitation,
                target("ACCOUNT", "222222222222"),
                "DuplicateHandshakeException",
            ),
            (
                "publisher",
                "AcceptHandshake",
                of(&id),
                "AccessDeniedException",
            ),
            (
                "publisher",
                "DeclineHandshake",
                of(&id),
                "AccessDeniedException",
            ),
            (
                "customer",
                "CancelHandshake",
                of(&id),
                "AccessDeniedException",
            ),
            (
                "customer",
                "AcceptHandshake",
                of("h-00000000"),
                "HandshakeNotFoundException",
            ),
            (
                "customer",
                "AcceptHandshake",
                of("x"),
                "InvalidInputException/INVALID_PATTERN",
            ),
        ],
    );
    let described = call(&bed, "customer", "DescribeHandshake", of(&id));
    assert_eq!(described["Handshake"]["Resources"][2]["Value"], "come in");
    call(&bed, "publisher", "CancelHandshake", of(&id));
    refused(
        &bed,
        &[
            (
                "publisher",
                "CancelHandshake",
                of(&id),
                "HandshakeAlreadyInStateException",
            ),
            (
                "customer",
                "AcceptHandshake",
                of(&id),
                "InvalidHandshakeTransitionException",
            ),
        ],
    );
    let declined = invite(&bed);
    call(&bed, "customer", "DeclineHandshake", of(&declined));
    let expired = invite(&bed);
    bed.shared
        .clock
        .advance(Duration::from_secs(15 * 24 * 3600));
    refused(
        &bed,
        &[(
            "customer",
            "AcceptHandshake",
            of(&expired),
            "InvalidHandshakeTransitionException",
        )],
    );
    let listed = call(
        &bed,
        "customer",
        "ListHandshakesForAccount",
        json!({"Filter": {"ActionType": "INVITE"}}),
    );
    let mut states: Vec<&str> = listed["Handshakes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|handshake| handshake["State"].as_str().expect("a state"))
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["CANCELED", "DECLINED", "EXPIRED"]);
    let none = json!({"Filter": {"ActionType": "ENABLE_ALL_FEATURES"}});
    let listed = call(&bed, "publisher", "ListHandshakesForOrganization", none);
    assert_eq!(listed["Handshakes"], json!([]));
    bed.shared
        .clock
        .advance(Duration::from_secs(31 * 24 * 3600));
    refused(
        &bed,
        &[(
            "customer",
            "DescribeHandshake",
            of(&expired),
            "HandshakeNotFoundException",
        )],
    );
    join(&bed);
}

#[test]
fn a_management_account_cannot_join_another() {
    let (bed, _, _) = organization();
    call(&bed, "customer", "CreateOrganization", json!({}));
    let id = invite(&bed);
    let body = json!({"HandshakeId": id});
    refused(
        &bed,
        &[(
            "customer",
            "AcceptHandshake",
            body.clone(),
            "MasterCannotLeaveOrganizationException",
        )],
    );
    call(&bed, "customer", "DeleteOrganization", json!({}));
    call(&bed, "customer", "AcceptHandshake", body);
}

#[test]
fn accounts_are_made() {
    let (bed, _, _) = organization();
    bed.shared.clock.set_scale(1.0);
    let body = json!({"Email": "robot@example.com", "AccountName": "robots", "RoleName": "Admin"});
    let answer = call(&bed, "publisher", "CreateAccount", body.clone());
    let status = |bed: &Bed, answer: &Value| {
        let id = json!({"CreateAccountRequestId": answer["CreateAccountStatus"]["Id"]});
        let answer = call(bed, "publisher", "DescribeCreateAccountStatus", id);
        answer["CreateAccountStatus"].clone()
    };
    assert_eq!(answer["CreateAccountStatus"]["State"], "IN_PROGRESS");
    assert!(answer["CreateAccountStatus"].get("AccountId").is_none());
    let count = |bed: &Bed| {
        let answer = call(bed, "publisher", "ListAccounts", json!({}));
        answer["Accounts"].as_array().expect("a list").len()
    };
    assert_eq!(count(&bed), 1);
    bed.shared.clock.advance(Duration::from_secs(60));
    let done = status(&bed, &answer);
    assert_eq!(done["State"], "SUCCEEDED");
    assert_eq!(count(&bed), 2);
    assert_eq!(
        bed.caller("robots").account.as_str(),
        done["AccountId"].as_str().expect("an id"),
        "it has credentials"
    );
    refused(
        &bed,
        &[(
            "robots",
            "LeaveOrganization",
            json!({}),
            "ConstraintViolationException/WAIT_PERIOD_ACTIVE",
        )],
    );
    bed.shared.clock.advance(Duration::from_secs(4 * 24 * 3600));
    call(&bed, "robots", "LeaveOrganization", json!({}));

    let answer = call(&bed, "publisher", "CreateAccount", body);
    bed.shared.clock.advance(Duration::from_secs(60));
    let failed = status(&bed, &answer);
    assert_eq!(
        (&failed["State"], &failed["FailureReason"]),
        (&json!("FAILED"), &json!("EMAIL_ALREADY_EXISTS"))
    );
    let body = json!({"States": ["FAILED"]});
    let listed = call(&bed, "publisher", "ListCreateAccountStatus", body);
    assert_eq!(
        listed["CreateAccountStatuses"]
            .as_array()
            .expect("a list")
            .len(),
        1
    );
}

#[test]
fn rules_of_new_accounts() {
    let (bed, _, _) = organization();
    let create = "CreateAccount";
    let account = |name: &str, value: Value| {
        let mut body = json!({"Email": "a@example.com", "AccountName": "a"});
        body[name] = value;
        body
    };
    let pattern = "InvalidInputException/INVALID_PATTERN";
    let status = "DescribeCreateAccountStatus";
    refused(
        &bed,
        &[
            (
                "publisher",
                create,
                json!({"AccountName": "a"}),
                "InvalidInputException/INPUT_REQUIRED",
            ),
            (
                "publisher",
                create,
                json!({"Email": "a@example.com"}),
                "InvalidInputException/INPUT_REQUIRED",
            ),
            (
                "publisher",
                create,
                account("Email", json!("a@example")),
                pattern,
            ),
            (
                "publisher",
                create,
                account("Email", json!("a b@example.com")),
                pattern,
            ),
            (
                "publisher",
                create,
                account("Email", json!("@example.com")),
                pattern,
            ),
            (
                "publisher",
                create,
                account("AccountName", json!("ä")),
                pattern,
            ),
            (
                "publisher",
                create,
                account("AccountName", json!("a".repeat(51))),
                "InvalidInputException/MAX_LENGTH_EXCEEDED",
            ),
            (
                "publisher",
                create,
                account("RoleName", json!("a b")),
                pattern,
            ),
            (
                "publisher",
                create,
                account("RoleName", json!("AWSServiceRoleForX")),
                "InvalidInputException/INVALID_ROLE_NAME",
            ),
            (
                "publisher",
                create,
                account("IamUserAccessToBilling", json!("SOME")),
                "InvalidInputException/INVALID_ENUM",
            ),
            (
                "publisher",
                create,
                account("IamUserAccessToBilling", json!("DENY")),
                "UnsupportedAPIEndpointException",
            ),
            (
                "publisher",
                create,
                account("Tags", json!([{}])),
                "UnsupportedAPIEndpointException",
            ),
            (
                "publisher",
                status,
                json!({"CreateAccountRequestId": "car-00000000"}),
                "CreateAccountStatusNotFoundException",
            ),
            (
                "publisher",
                status,
                json!({"CreateAccountRequestId": "x"}),
                pattern,
            ),
        ],
    );
    assert!(bed.shared.limits.set("accounts-per-organization", 1));
    let full = "ConstraintViolationException/ACCOUNT_NUMBER_LIMIT_EXCEEDED";
    let target = json!({"Target": {"Type": "ACCOUNT", "Id": "222222222222"}});
    refused(
        &bed,
        &[
            ("publisher", create, account("RoleName", json!("r")), full),
            ("publisher", "InviteAccountToOrganization", target, full),
        ],
    );
}
