//! What calls of EC2 ask for ("Actions, resources, and condition keys for Amazon EC2").

use std::collections::BTreeMap;

use super::{Wish, check as check_all};
use crate::sandbox::context::Context;
use crate::sandbox::ec2::{instances, templates};
use crate::sandbox::error::ServiceError;
use crate::sandbox::id::Region;
use crate::sandbox::world::World;

/// Parameters by name.
type Form = BTreeMap<String, String>;
type Tags = BTreeMap<String, String>;

/// Checks a call with the parameters in its body.
///
/// # Errors
/// `UnauthorizedOperation`.
pub fn check(context: &Context, action: &str) -> Result<(), ServiceError> {
    let wishes = context.shared.read(|world| {
        if !super::is_confined(world, &context.caller) {
            return Vec::new();
        }
        let mut form: Form = form_urlencoded::parse(&context.request.body)
            .into_owned()
            .collect();
        if action == "RunInstances" {
            templates::spread(context, world, &mut form);
        }
        wishes(context, world, action, &form)
    });
    check_all(context, wishes)
}

/// Whether the caller may do this with a resource of the call's Region, for work that is part of
/// another action's. True for an administrator.
pub fn allows(context: &Context, world: &World, action: &str, kind: &str, id: &str) -> bool {
    if !super::is_confined(world, &context.caller) {
        return true;
    }
    let wish = existing(context, world, action, &context.region, kind, id);
    matches!(super::refused(context, world, [wish]), Ok(None))
}

fn arn(context: &Context, region: &Region, kind: &str, id: &str) -> String {
    // Those that can be another account's have none in their ARN.
    match kind {
        "image" | "snapshot" => format!("arn:aws:ec2:{region}::{kind}/{id}"),
        _ => {
            let account = &context.caller.account;
            format!("arn:aws:ec2:{region}:{account}:{kind}/{id}")
        }
    }
}

fn existing(
    context: &Context,
    world: &World,
    action: &str,
    region: &Region,
    kind: &str,
    id: &str,
) -> Wish {
    let wish = Wish::new(format!("ec2:{action}"), arn(context, region, kind, id))
        .with("ec2:region", region.to_string())
        .tagged(&world.tags.of(&context.caller.account, id));
    match world.ec2.images.get(id) {
        Some(image) => wish.with("ec2:owner", image.owner.to_string()),
        None => wish,
    }
}

/// What EC2 looks at in the caller's name to find what refers to an image: "Required IAM permissions"
/// of "Identify your resources referencing specified AMIs" in its user guide.
const REFERRING: [&str; 8] = [
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribeLaunchTemplateVersions",
    "ssm:DescribeParameters",
    "ssm:GetParameters",
    "imagebuilder:ListImageRecipes",
    "imagebuilder:ListContainerRecipes",
    "imagebuilder:GetContainerRecipe",
];

fn wishes(context: &Context, world: &World, action: &str, form: &Form) -> Vec<Wish> {
    // Lists take no resources; an attribute is one of a resource.
    if action.starts_with("Describe") && !action.ends_with("Attribute") {
        let mut wishes = vec![Wish::new(format!("ec2:{action}"), "*")];
        if action == "DescribeImageReferences" {
            let looks = REFERRING.iter().map(|look| Wish::new(*look, "*"));
            let via = |look: Wish| look.with("aws:calledvia", "ec2-images.amazonaws.com");
            wishes.extend(looks.map(via));
        }
        let here = |wish: Wish| wish.with("ec2:region", context.region.to_string());
        return wishes.into_iter().map(here).collect();
    }
    let request_tags = match action {
        "CreateTags" | "DeleteTags" => tags_under(form, "Tag"),
        _ => Tags::new(),
    };
    let mut wishes: Vec<Wish> = named(context, form)
        .into_iter()
        .map(|(region, kind, id)| {
            existing(context, world, action, &region, kind, &id).tagging(&request_tags)
        })
        .collect();
    let tags = created_tags(context, world, action, form);
    let no_tags = Tags::new();
    for kind in made(action, form) {
        let wish = Wish::new(
            format!("ec2:{action}"),
            arn(context, &context.region, kind, "*"),
        )
        .with("ec2:region", context.region.to_string())
        .tagging(tags.get(*kind).unwrap_or(&no_tags));
        wishes.push(match form.get("MetadataOptions.HttpTokens") {
            Some(tokens) if *kind == "instance" => wish.with("ec2:metadatahttptokens", tokens),
            _ => wish,
        });
    }
    wishes.extend(passed_role(context, action, form));
    if wishes.is_empty() {
        wishes.push(
            Wish::new(format!("ec2:{action}"), "*").with("ec2:region", context.region.to_string()),
        );
    }
    for (kind, tags) in tags.iter().filter(|(_, tags)| !tags.is_empty()) {
        wishes.push(
            Wish::new("ec2:CreateTags", arn(context, &context.region, kind, "*"))
                .with("ec2:region", context.region.to_string())
                .with("ec2:createaction", action)
                .tagging(tags),
        );
    }
    wishes
}

/// Who launches an instance with a role must be allowed to pass it on.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>
fn passed_role(context: &Context, action: &str, form: &Form) -> Option<Wish> {
    let name = form.get("IamInstanceProfile.Name").cloned().or_else(|| {
        let arn = form.get("IamInstanceProfile.Arn")?;
        Some(arn.rsplit('/').next().unwrap_or(arn).to_owned())
    })?;
    let role = instances::role::arn(&context.caller.account, &name);
    let pass = Wish::new("iam:PassRole", role).with("iam:passedtoservice", "ec2.amazonaws.com");
    (action == "RunInstances").then_some(pass)
}

/// The types of what an action makes, or takes by default. `DryRun` and others name no resource.
fn made(action: &str, form: &Form) -> &'static [&'static str] {
    let gives = |name: &str| form.keys().any(|key| last_word(key) == name);
    match action {
        "RegisterImage" => &["image"],
        // Since October 2024 with its source and the snapshots ("Grant permissions to copy Amazon
        // EC2 AMIs").
        "CopyImage" | "CreateImage" => &["image", "snapshot"],
        "CreateSnapshot" | "CreateSnapshots" | "CopySnapshot" => &["snapshot"],
        "CreateVolume" => &["volume"],
        "RunInstances" => match (gives("SubnetId"), gives("SecurityGroupId")) {
            (true, true) => &["instance", "volume", "network-interface"],
            (true, false) => &["instance", "volume", "network-interface", "security-group"],
            (false, true) => &["instance", "volume", "network-interface", "subnet"],
            (false, false) => &[
                "instance",
                "volume",
                "network-interface",
                "subnet",
                "security-group",
            ],
        },
        "CreateKeyPair" | "ImportKeyPair" => &["key-pair"],
        "CreateSecurityGroup" => &["security-group"],
        "CreateRouteTable" => &["route-table"],
        "CreateLaunchTemplate" => &["launch-template"],
        "CreateImageUsageReport" => &["image-usage-report"],
        _ => &[],
    }
}

/// The last part of a parameter's name that is no number: `SnapshotId` of
/// `BlockDeviceMapping.1.Ebs.SnapshotId`.
fn last_word(name: &str) -> &str {
    let is_word = |part: &&str| !part.bytes().all(|byte| byte.is_ascii_digit());
    name.rsplit('.').find(is_word).unwrap_or_default()
}

/// The resources that the parameters name: where, of which type, and which.
fn named(context: &Context, form: &Form) -> Vec<(Region, &'static str, String)> {
    let source = form
        .get("SourceRegion")
        .and_then(|region| region.parse::<Region>().ok());
    let mut found = Vec::new();
    for (name, value) in form {
        let word = last_word(name);
        let region = match word {
            "SourceImageId" | "SourceSnapshotId" => source.clone(),
            _ => None,
        }
        .unwrap_or_else(|| context.region.clone());
        let kind = match word {
            "KeyName" => Some("key-pair"),
            "ImageId"
            | "SourceImageId"
            | "SnapshotId"
            | "SourceSnapshotId"
            | "VolumeId"
            | "InstanceId"
            | "SubnetId"
            | "SecurityGroupId"
            | "GroupId"
            | "ResourceId"
            | "KeyPairId"
            | "NetworkInterfaceId"
            | "SecurityGroupRuleId"
            | "RouteTableId"
            | "LaunchTemplateId"
            | "ReportId" => kind_of(value),
            _ => None,
        };
        // What a template is to hold is asked for when it is launched.
        let is_said = name.starts_with("Tag") || name.starts_with("LaunchTemplateData.");
        if let Some(kind) = kind.filter(|_| !is_said) {
            found.push((region, kind, value.clone()));
        }
    }
    found
}

fn kind_of(id: &str) -> Option<&'static str> {
    Some(match id.split_once('-')?.0 {
        "ami" => "image",
        "snap" => "snapshot",
        "vol" => "volume",
        "i" => "instance",
        "sg" => "security-group",
        "sgr" => "security-group-rule",
        "key" => "key-pair",
        "eni" => "network-interface",
        "subnet" => "subnet",
        "vpc" => "vpc",
        "igw" => "internet-gateway",
        "rtb" => "route-table",
        "lt" => "launch-template",
        "amiur" => "image-usage-report",
        _ => return None,
    })
}

/// `<prefix>.N.Key` and `<prefix>.N.Value`.
fn tags_under(form: &Form, prefix: &str) -> Tags {
    let mut tags = Tags::new();
    for (name, key) in form {
        let number = name
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|rest| rest.strip_suffix(".Key"))
            .filter(|number| !number.contains('.'));
        if let Some(number) = number {
            let value = form.get(&format!("{prefix}.{number}.Value"));
            tags.insert(key.clone(), value.cloned().unwrap_or_default());
        }
    }
    tags
}

/// The tags of what an action makes, by type.
fn created_tags(
    context: &Context,
    world: &World,
    action: &str,
    form: &Form,
) -> BTreeMap<String, Tags> {
    let mut found: BTreeMap<String, Tags> = BTreeMap::new();
    // CopyImage may take the source's along.
    let copies = form
        .get("CopyImageTags")
        .is_some_and(|flag| flag.eq_ignore_ascii_case("true") || flag == "1");
    if let Some(source) = form.get("SourceImageId").filter(|_| copies) {
        let tags = world.tags.of(&context.caller.account, source);
        found.insert("image".to_owned(), tags);
    }
    for (name, kind) in form {
        let specification = name.strip_suffix(".ResourceType").filter(|specification| {
            specification.starts_with("TagSpecification.") && action != "CreateTags"
        });
        if let Some(specification) = specification {
            let tags = tags_under(form, &format!("{specification}.Tag"));
            found.entry(kind.clone()).or_default().extend(tags);
        }
    }
    found
}
