#pragma once

#include <dockerd/model/container.hpp>
#include <dockerd/model/network.hpp>

#include "text.hpp"

/// The documents of model/ as text, by the field lists of model/fields.hpp.
namespace dockerd::api::codec {

void put(Text& out, const model::ContainerConfig& config);
void put(Text& out, const model::HostConfig& host);
void put(Text& out, const model::PortBinding& binding);
void put(Text& out, const model::EndpointSettings& endpoint);
void put(Text& out, const model::Ipam& ipam);

/// The image configuration of API 1.50: the fields an OCI image has, each left out when empty.
/// Source: moby/docker-image-spec specs-go/v1, DockerOCIImageConfig.
void put_oci_config(Text& out, const model::ContainerConfig& config);

}  // namespace dockerd::api::codec
