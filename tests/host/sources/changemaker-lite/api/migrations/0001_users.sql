CREATE TABLE users (email text PRIMARY KEY, password_hash text NOT NULL, role text NOT NULL);
CREATE TABLE boots (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL DEFAULT now());
