#include "documents.hpp"

#include <dockerd/model/fields.hpp>

namespace dockerd::api::codec {

/// Any document with a field list, so that one may contain another.
template <typename T>
    requires(model::GoName<T>::value != nullptr)
void put(Text& out, const T& document);

namespace {

/// A visitor that writes each field it is shown.
class FieldWriter {
public:
    explicit FieldWriter(Object& object) : object_(object) {}

    template <typename T>
    void operator()(const char* name, const T& field) {
        object_(name, field);
    }
    template <typename T>
    void operator()(const char* name, const T& field, model::OmitEmpty /*tag*/) {
        object_.some(name, field);
    }
    void operator()(const char* name, const std::array<std::int64_t, 2>& size) {
        put_array(object_.key(name), size);
    }

private:
    Object& object_;
};

template <typename T>
void put_fields(Text& out, const T& document) {
    Object object(out);
    FieldWriter writer(object);
    visit(writer, document);
}

}  // namespace

template <typename T>
    requires(model::GoName<T>::value != nullptr)
void put(Text& out, const T& document) {
    put_fields(out, document);
}

void put(Text& out, const model::ContainerConfig& config) { put_fields(out, config); }
void put(Text& out, const model::HostConfig& host) { put_fields(out, host); }
void put(Text& out, const model::PortBinding& binding) { put_fields(out, binding); }
void put(Text& out, const model::EndpointSettings& endpoint) { put_fields(out, endpoint); }
void put(Text& out, const model::Ipam& ipam) { put_fields(out, ipam); }

void put_oci_config(Text& out, const model::ContainerConfig& config) {
    Object object(out);
    object.some("User", config.user);
    object.some("ExposedPorts", config.exposed_ports);
    object.some("Env", config.env);
    object.some("Entrypoint", config.entrypoint);
    object.some("Cmd", config.cmd);
    object.some("Volumes", config.volumes);
    object.some("WorkingDir", config.working_dir);
    object.some("Labels", config.labels);
    object.some("StopSignal", config.stop_signal);
    object.some("ArgsEscaped", config.args_escaped);
    if (config.healthcheck) object("Healthcheck", *config.healthcheck);
    object.some("OnBuild", config.on_build);
    object.some("Shell", config.shell);
}

}  // namespace dockerd::api::codec
