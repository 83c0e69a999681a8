CREATE TABLE campaigns (id bigint GENERATED ALWAYS AS IDENTITY, title text NOT NULL);
