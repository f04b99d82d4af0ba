#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <thread>

#include <dockerd/base/id.hpp>
#include <dockerd/store/container_files.hpp>
#include <dockerd/store/images.hpp>
#include <dockerd/store/import.hpp>
#include <dockerd/store/kv.hpp>
#include <dockerd/store/volumes_db.hpp>

#include "store_fixture.hpp"

namespace dockerd::store {
namespace {

/// Docker's own daemon on our data root, in namespaces of its own.
class PeerTest : public StoreFixture {
protected:
    void SetUp() override {
        StoreFixture::SetUp();
        if (root_.empty()) return;
        if (::access("/usr/sbin/dockerd", X_OK) != 0 || ::access("/bin/busybox", X_OK) != 0 ||
            std::system("docker --version >/dev/null 2>&1") != 0) {
            GTEST_SKIP() << "needs dockerd, docker and a static busybox";
        }
        data_ = root_ + "/data";
    }
    void TearDown() override {
        stop();
        for (const char* parent : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
            std::error_code ignored;
            for (const auto& item : std::filesystem::directory_iterator(parent, ignored)) {
                (void)::rmdir((item.path().string() + cgroup_).c_str());
            }
            (void)::rmdir((parent + cgroup_).c_str());
        }
        StoreFixture::TearDown();
    }

    void start() {
        daemon_ = ::fork();
        ASSERT_GE(daemon_, 0);
        if (daemon_ == 0) {
            const int log = ::open((root_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
            ::dup2(log, 1);
            ::dup2(log, 2);
            // Its own network: a daemon without a bridge deletes the docker0 it finds.
            if (::unshare(CLONE_NEWNET) != 0) ::_exit(126);
            ::execl("/usr/sbin/dockerd", "dockerd", "--data-root", data_.c_str(), "--exec-root",
                    (root_ + "/exec").c_str(), "-H", ("unix://" + root_ + "/s").c_str(),
                    "--pidfile", (root_ + "/pid").c_str(), "--bridge=none", "--iptables=false",
                    "--ip6tables=false", "--storage-driver=overlay2",
                    ("--cgroup-parent=" + cgroup_).c_str(), nullptr);
            ::_exit(127);
        }
        for (int i = 0; i < 300 && docker("version >/dev/null 2>&1; echo $?") != "0\n"; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
    }

    void stop() {
        if (daemon_ <= 0) return;
        ::kill(daemon_, SIGTERM);
        int status = 0;
        ::waitpid(daemon_, &status, 0);
        daemon_ = -1;
    }

    std::string docker(const std::string& arguments) const {
        const std::string command = "DOCKER_BUILDKIT=0 docker -H unix://" + root_ + "/s " +
                                    arguments + " 2>>" + root_ + "/cli.log";
        FILE* const pipe = ::popen(command.c_str(), "r");
        std::string out;
        std::array<char, 4096> buffer{};
        while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
            out.append(buffer.data(), n);
        }
        ::pclose(pipe);
        return out;
    }

    /// An image tar with a working shell.
    static std::string shell_tar() {
        return TarBuilder()
            .dir("bin")
            .file("bin/busybox", slurp("/bin/busybox"), 0755)
            .link("bin/sh", "busybox")
            .link("bin/cat", "busybox")
            .file("marker", "mark\n")
            .dir("etc")
            .take();
    }

    static ContainerRecord record_for(const Image& image, const std::string& name) {
        ContainerRecord record;
        record.id = base::random_id();
        record.name = "/" + name;
        record.created = base::WallTime::now();
        record.config = *image.config->config;
        record.config.cmd = {"/bin/sh", "-c", "cat /marker; echo w > /written"};
        record.config.image = image.references.front();
        record.path = "/bin/sh";
        record.args = {"-c", "cat /marker; echo w > /written"};
        record.image_id = image.id;
        record.platform_architecture = native_architecture();
        record.host_config.network_mode = "none";
        record.host_config.restart_policy.name = "no";
        record.host_config.log_config.type = "json-file";
        record.host_config.ipc_mode = "private";
        record.host_config.cgroupns_mode = "host";
        record.host_config.shm_size = 64 << 20;
        record.host_config.runtime = "runc";
        return record;
    }

    std::string data_;
    /// Named before any fork: the daemon's parent in every hierarchy.
    const std::string cgroup_ = "/store-peer-test-" + std::to_string(::getpid());
    pid_t daemon_ = -1;
};

TEST_F(PeerTest, DockerRunsWhatWeWrote) {
    std::string id;
    std::string archive;
    {
        Layers layers(data_, testing_unpacker());
        Images images(data_, layers);
        ContainerFiles files(data_);
        id = import_image(images, archive::memory_source(shell_tar()), {});
        (void)images.tag(model::Reference::parse("shell:1"), id);
        const ContainerRecord record = record_for(*images.find(id), "ours");
        Batch batch;
        layers.create_rw(record.id, images.find(id)->chain_id, {}, batch);
        files.create(record, batch);
        VolumesDb volumes(data_);
        (void)volumes.create("vol", "local", {}, {});
        save_images(images, {"shell:1"}, [&](std::string_view bytes) { archive += bytes; });
        std::ofstream(root_ + "/ours.tar", std::ios::binary) << archive;
    }
    start();
    EXPECT_EQ(docker("images --no-trunc --format '{{.Repository}}:{{.Tag}} {{.ID}}'"),
              "shell:1 " + id + "\n");
    EXPECT_EQ(docker("ps -a --format '{{.Names}} {{.Status}}'"), "ours Created\n");
    EXPECT_EQ(docker("start -a ours"), "mark\n");
    EXPECT_EQ(docker("diff ours"), "A /written\n");
    EXPECT_EQ(docker("volume ls -q"), "vol\n");
    const std::string theirs = docker("save shell:1 | sha256sum");
    // Loaded from what we saved, the same image comes out again.
    EXPECT_EQ(docker("rm ours"), "ours\n");
    (void)docker("rmi shell:1");
    EXPECT_EQ(docker("load -q -i " + root_ + "/ours.tar"), "Loaded image: shell:1\n");
    EXPECT_EQ(docker("images -q --no-trunc"), id + "\n");
    EXPECT_EQ(docker("save shell:1 | sha256sum"), theirs);
}

TEST_F(PeerTest, WeReadWhatDockerWrote) {
    std::ofstream(root_ + "/shell.tar", std::ios::binary) << shell_tar();
    std::filesystem::create_directory(root_ + "/ctx");
    std::ofstream(root_ + "/ctx/Dockerfile")
        << "FROM shell:1\nRUN echo one > /one\nRUN echo two > /two\n";
    start();
    (void)docker("import " + root_ + "/shell.tar shell:1");
    (void)docker("build -q -t built:1 " + root_ + "/ctx");
    (void)docker(
        "run --name ran --network none -v vol:/v -l a=b built:1 /bin/sh -c 'echo x > /changed'");
    (void)docker("network create -d bridge --internal inner");
    (void)docker("save -o " + root_ + "/theirs.tar built:1 shell:1");
    const std::string built = docker("images -q --no-trunc built:1");
    stop();
    {
        Layers layers(data_, testing_unpacker());
        Images images(data_, layers);
        const ImagePtr image = images.get("built:1");
        EXPECT_EQ(image->id + "\n", built);
        for (const LayerInfo& layer : layers.list()) {
            EXPECT_EQ(archive::sha256_digest(drain(layers.open_tar(layer.chain_id))),
                      layer.diff_id);
        }
        ContainerFiles files(data_);
        const std::vector<ContainerRecord> records = files.load_all();
        ASSERT_EQ(records.size(), 1U);
        EXPECT_EQ(records[0].name, "/ran");
        EXPECT_EQ(records[0].config.labels.at("a"), "b");
        EXPECT_EQ(records[0].mount_points.at("/v").name, "vol");
        EXPECT_EQ(records[0].unknown_json, "");
        const std::vector<LayerChange> changes = layers.rw_changes(records[0].id);
        ASSERT_EQ(changes.size(), 2U);
        EXPECT_EQ(changes[0].path, "/changed");
        EXPECT_EQ(changes[1].path, "/v");
        files.save_with_host_config(records[0]);
        const VolumesDb volumes(data_);
        EXPECT_EQ(volumes.list().size(), 1U);
        const KvFile kv(data_);
        EXPECT_GE(kv.list("docker/network/v1.0/network/").size(), 2U);
    }
    {
        Layers layers(root_ + "/other", testing_unpacker());
        Images images(root_ + "/other", layers);
        const base::Fd file{::open((root_ + "/theirs.tar").c_str(), O_RDONLY | O_CLOEXEC)};
        const auto loaded = load_images(
            images,
            [&](std::span<char> buffer) {
                return static_cast<std::size_t>(::read(file.get(), buffer.data(), buffer.size()));
            },
            {});
        EXPECT_EQ(loaded.size(), 2U);
        EXPECT_EQ(images.get("built:1")->id + "\n", built);
    }
    start();
    EXPECT_EQ(docker("inspect -f '{{.Config.Labels.a}} {{.State.ExitCode}}' ran"), "b 0\n");
    EXPECT_EQ(docker("start ran"), "ran\n");
}

}  // namespace
}  // namespace dockerd::store
