apt-get update -qq && apt-get install -y -qq --no-install-recommends nfs-common
bash -eu tests/vm/pytest.sh tests/e2e/test_network_volumes.py
