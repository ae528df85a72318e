time make up
.venv/bin/tiphys kubectl get nodes -o wide
.venv/bin/tiphys kubectl get pods -A -o wide
.venv/bin/tiphys status
