#!/usr/bin/env bash
# Start a real Slurm on this machine, for tests: a controller and the nodes n1 and n2, each with two cores and a GPU,
# whatever the machine has.
#   start.sh DIR     DIR takes configuration, state and logs; stop.sh DIR ends everything and removes it
# Once the process that called it is gone, however it went, everything ends by itself.
# Needs root and the packages munge, slurmctld, slurmd and slurm-client; no systemd, no cgroups, no accounting.
set -euo pipefail
dir=$(realpath -m "$1")
here=$(dirname "$(realpath "$0")")
host=$(hostname -s)

mkdir -p "$dir"/{state,munge}
# munged takes no folder that others may write to on the way to its socket, /tmp apart; ours has no such folder in it.
chmod 755 "$dir"
trap '"$here/stop.sh" "$dir"' ERR

for node in n1 n2; do
    : > "$dir/gpu-$node" # to Slurm, a GPU is a file
    echo "NodeName=$node Name=gpu File=$dir/gpu-$node"
done > "$dir/gres.conf"
cat > "$dir/slurm.conf" << EOF
ClusterName=heldout
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16917
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
GresTypes=gpu
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
SchedulerParameters=batch_sched_delay=0,sched_interval=1
# A finished job stays visible to squeue, by which the profile asks.
MinJobAge=300
# A dead node is noticed within seconds, not minutes; it comes back only when it is started again.
SlurmdTimeout=6
ReturnToService=1
KillWait=2
EOF
port=16920
for node in n1 n2; do
    port=$((port + 1))
    echo "NodeName=$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$port CPUs=2 RealMemory=16000 Gres=gpu:1"
done >> "$dir/slurm.conf"
echo "PartitionName=main Nodes=n1,n2 Default=YES MaxTime=UNLIMITED State=UP" >> "$dir/slurm.conf"

# Commands inside a job find the configuration at its usual place alone: Snakemake drops SLURM_CONF there.
mkdir -p /etc/slurm
for file in slurm.conf gres.conf; do
    if [ -e "/etc/slurm/$file" ] || [ -L "/etc/slurm/$file" ]; then
        echo "/etc/slurm/$file is there: this machine has a Slurm of its own, or another test runs" >&2
        exit 3
    fi
done
(
    cd "$dir" # so that stop.sh ends this loop too
    exec setsid bash -c 'while kill -0 "$1"; do sleep 1; done; cd /; exec "$2" "$3"' - $PPID "$here/stop.sh" "$dir" \
        < /dev/null > /dev/null 2>&1
) &
for file in slurm.conf gres.conf; do ln -s "$dir/$file" "/etc/slurm/$file"; done

head -c 128 /dev/urandom > "$dir/munge/key"
chown -R munge:munge "$dir/munge"
chmod 711 "$dir/munge"
chmod 600 "$dir/munge/key"
setpriv --reuid=munge --regid=munge --clear-groups munged --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
    --pid-file="$dir/munge/munged.pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"
slurmctld
for node in n1 n2; do
    mkdir -p "$dir/spool-$node"
    slurmd -N "$node"
done
for _ in $(seq 100); do
    if [ "$(timeout 5 sinfo -h -N -t idle -o %N 2> /dev/null | wc -l)" = 2 ]; then exit 0; fi
    sleep 0.2
done
echo "the nodes are not idle: $(timeout 5 sinfo -h -N -o '%N %T' | tr '\n' ' ')" >&2
false
