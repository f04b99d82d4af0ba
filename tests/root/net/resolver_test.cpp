#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "own_netns.hpp"

namespace dockerd::net {
namespace {

/// Sandboxes on a user's network, asked as their programs would.
class ResolverTest : public OwnNetns {
protected:
    void SetUp() override {
        OwnNetns::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        networks_ = std::make_unique<Networks>(options(), store_);
        networks_->clean_stale();
        model::NetworkCreate request;
        request.name = "front";
        request.driver = "bridge";
        networks_->create(request);
    }

    JoinRequest request(const std::string& name) const {
        JoinRequest out;
        out.network = "front";
        out.container_id = std::string(64, 'a');
        out.container_name = name;
        out.settings.dns_names.push_back(name);
        out.settings.dns_names.push_back("service");
        // Nobody outside is asked.
        out.dns.servers.emplace();
        return out;
    }
    std::unique_ptr<Sandbox> start(const std::string& name) {
        auto sandbox = networks_->open_sandbox();
        networks_->join(*sandbox, request(name));
        return sandbox;
    }

    static std::string query(const std::string& name, std::uint16_t id) {
        std::string out{static_cast<char>(id >> 8U), static_cast<char>(id & 0xffU)};
        out += std::string("\1\0\0\1\0\0\0\0\0\0", 10);
        out += static_cast<char>(name.size());
        return out + name + std::string("\0\0\1\0\1", 5);
    }

    base::Fd client(const Sandbox& sandbox) {
        base::Fd out;
        in(sandbox.netns(), [&] {
            out.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
            const SocketAddress resolver(ip("127.0.0.11"), 53);
            EXPECT_EQ(::connect(out.get(), resolver.get(), resolver.size()), 0);
        });
        return out;
    }

    /// The answer's bytes; "" when there is none within three seconds.
    static std::string ask(const base::Fd& socket, const std::string& name, std::uint16_t id) {
        const std::string sent = query(name, id);
        if (::send(socket.get(), sent.data(), sent.size(), 0) < 0) return {};
        char buffer[512];
        if (!wait_readable(socket)) return {};
        const ssize_t size = ::recv(socket.get(), buffer, sizeof buffer, 0);
        return size < 12 ? std::string() : std::string(buffer, static_cast<std::size_t>(size));
    }
    /// The response code, and how many answers.
    static std::pair<int, int> result(const std::string& answer) {
        if (answer.empty()) return {-1, 0};
        return {answer[3] & 0xf, static_cast<unsigned char>(answer[7])};
    }

    MemoryNetworkStore store_;
    std::unique_ptr<Networks> networks_;
};

TEST_F(ResolverTest, AnswersWhileContainersComeAndGo) {
    auto asker = start("asker");
    std::atomic<bool> stop = false;
    std::atomic<int> wrong = 0;
    std::atomic<int> asked = 0;
    const auto ask_on = [&] {
        const base::Fd socket = client(*asker);
        for (std::uint16_t id = 1; !stop; ++id) {
            const std::string self = ask(socket, "asker", id);
            const std::string unknown = ask(socket, "nobody", id);
            const std::string service = ask(socket, "service", id);
            // The service has the asker's address and those of whoever is there just now.
            if (result(self) != std::pair(0, 1) || result(unknown) != std::pair(2, 0) ||
                result(service).first != 0 || result(service).second < 1 ||
                result(service).second > 3) {
                ++wrong;
            }
            ++asked;
        }
    };
    const auto come_and_go = [&](const std::string& name) {
        for (int i = 0; i < 25; ++i) {
            auto sandbox = start(name);
            const std::string id = sandbox->endpoints()[0].network_id;
            const base::Fd socket = client(*sandbox);
            if (result(ask(socket, name, 7)) != std::pair(0, 1)) ++wrong;
            networks_->rename(*sandbox, name + "-new", {{id, {name + "-new", "service"}}});
            if (result(ask(socket, name, 8)) != std::pair(2, 0)) ++wrong;
            if (result(ask(socket, name + "-new", 9)) != std::pair(0, 1)) ++wrong;
            networks_->close(std::move(sandbox));
        }
    };
    std::vector<std::thread> askers;
    for (int i = 0; i < 2; ++i) askers.emplace_back(ask_on);
    std::thread first(come_and_go, "one");
    std::thread second(come_and_go, "two");
    first.join();
    second.join();
    stop = true;
    for (std::thread& thread : askers) thread.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_GT(asked, 10);
    networks_->close(std::move(asker));
}

TEST_F(ResolverTest, GoesOnInTheNextNetworks) {
    auto asker = start("asker");
    const std::string saved = asker->save();
    const base::Fd socket = client(*asker);
    ASSERT_EQ(result(ask(socket, "asker", 1)), std::pair(0, 1));
    // The daemon dies: nothing is closed in good order but the sockets.
    networks_.reset();
    networks_ = std::make_unique<Networks>(options(), store_);
    auto again = networks_->restore(saved, std::string(64, 'a'), "asker", {"front"});
    networks_->clean_stale();
    // The very socket that asked the last one: the port behind the rules is the same.
    EXPECT_EQ(result(ask(socket, "asker", 2)), std::pair(0, 1));
    EXPECT_EQ(again->save(), saved);
    networks_->close(std::move(again));
}

}  // namespace
}  // namespace dockerd::net
