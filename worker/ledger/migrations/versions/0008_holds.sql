-- Partitions of input topics that an operator has put on hold: a worker reads nothing of them until they are resumed. partition is
-- -1 for a whole topic. decision_seq is the decision of the command, which keeps who, why and when for good, as that of the resume
-- does; a row goes when its hold is resumed.
CREATE TABLE holds (
    topic            text        NOT NULL,
    partition        int         NOT NULL CHECK (partition >= -1),
    lets_time_go_on  boolean     NOT NULL,
    decision_seq     bigint      NOT NULL,
    PRIMARY KEY (topic, partition)
);
