"""The embedded PostgreSQL: one server for every process of this checkout, started on demand.

Everything is in one private folder:

    data/            PostgreSQL's data; made as initdb-*/ and renamed, so it is whole or not there
    socket-N/        the Unix socket, the only way in; N is the inode of data/. Where that path is
                     too long for a socket: a folder in /tmp that the file `socket-folder` names
    lock             flock'ed by whoever starts or stops the server, for as long as that takes
    alive            flock'ed by the server itself (and initdb), through a descriptor it inherits
    start.log        what the server wrote before its own log began; the log is data/log/

The kernel drops a lock with the last process that has it open. So a free `alive` proves that no
process of the server is left, whatever a pid file says: after kill -9, a reboot, a reused pid,
or from another container that shares the folder.
"""
