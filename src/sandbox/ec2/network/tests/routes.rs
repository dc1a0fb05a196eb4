use super::*;

#[test]
fn the_main_route_table_leads_to_the_internet() {
    let bed = Bed::new();
    let tables = call(&bed, "DescribeRouteTables", &[]);
    let item = "routeTableSet/item[0]";
    let account = bed.caller("publisher").account;
    let text = |path: &str| tables.text(&format!("{item}/{path}")).to_owned();
    assert_eq!(text("vpcId"), default_vpc(&account, &here()));
    assert_eq!(text("routeSet/item[0]/gatewayId"), "local");
    assert_eq!(text("routeSet/item[1]/destinationCidrBlock"), "0.0.0.0/0");
    assert_eq!(text("associationSet/item[0]/main"), "true");
    let gateways = call(&bed, "DescribeInternetGateways", &[]);
    let gateway = gateways.text("internetGatewaySet/item[0]/internetGatewayId");
    assert_eq!(text("routeSet/item[1]/gatewayId"), gateway);
    let id = text("routeTableId");
    refused(
        &bed,
        "DeleteRouteTable",
        &[("RouteTableId", &id)],
        "DependencyViolation",
    );
    let customers = bed.ec2(
        "customer",
        "DescribeRouteTables",
        &[("RouteTableId.1", &id)],
    );
    let error = customers.expect_err("it is the publisher's");
    assert_eq!(error.code, "InvalidRouteTableID.NotFound");
}

#[test]
fn a_subnet_may_have_a_route_table_that_leads_nowhere() {
    let bed = Bed::new();
    let account = bed.caller("publisher").account;
    let vpc = default_vpc(&account, &here());
    let subnet = default_subnets(&account, &here()).swap_remove(0).id;
    let params = [("VpcId", vpc.as_str()), ("ClientToken", "t")];
    let table = call(&bed, "CreateRouteTable", &params);
    let table = table.text("routeTable/routeTableId").to_owned();
    let again = call(&bed, "CreateRouteTable", &params);
    assert_eq!(again.text("routeTable/routeTableId"), table);
    let both = [("RouteTableId", table.as_str()), ("SubnetId", &subnet)];
    let made = call(&bed, "AssociateRouteTable", &both);
    let association = made.text("associationId").to_owned();
    refused(
        &bed,
        "AssociateRouteTable",
        &both,
        "Resource.AlreadyAssociated",
    );
    let found = |name: &str, value: &str| {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        call(&bed, "DescribeRouteTables", &filter)
    };
    for (name, value, expected) in [
        ("association.subnet-id", subnet.as_str(), 1),
        ("association.main", "true", 1),
        ("association.main", "false", 1),
        ("route.destination-cidr-block", "0.0.0.0/0", 1),
        ("route.state", "active", 2),
        ("route.nat-gateway-id", "*", 0),
        ("vpc-id", &vpc, 2),
    ] {
        let tables = found(name, value).all("/vpcId").len();
        assert_eq!(tables, expected, "{name}={value}");
    }
    let its = found("association.subnet-id", &subnet);
    assert_eq!(its.text("routeTableSet/item[0]/routeTableId"), table);
    let this = [("RouteTableId", table.as_str())];
    refused(&bed, "DeleteRouteTable", &this, "DependencyViolation");
    let it = [("AssociationId", association.as_str())];
    call(&bed, "DisassociateRouteTable", &it);
    refused(
        &bed,
        "DisassociateRouteTable",
        &it,
        "InvalidAssociationID.NotFound",
    );
    let tag = [("ResourceId.1", table.as_str()), ("Tag.1.Key", "a")];
    call(&bed, "CreateTags", &tag);
    call(&bed, "DeleteRouteTable", &this);
    refused(&bed, "CreateTags", &tag, "InvalidRouteTableID.NotFound");
}
